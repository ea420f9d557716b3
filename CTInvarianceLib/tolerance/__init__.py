"""What "cannot tell apart" means: the tolerance ε, and images brought within it."""

from .layer import LocalLayer, misfit
from .metric import Metric, measure_gain
from .nearest import move_within
from .posterior import most_probable
from .rescan import Noise, one_rescan, unit_of
from .start import Start, start_of

__all__ = [
    "LocalLayer",
    "Metric",
    "Noise",
    "Start",
    "measure_gain",
    "misfit",
    "most_probable",
    "move_within",
    "one_rescan",
    "start_of",
    "unit_of",
]
