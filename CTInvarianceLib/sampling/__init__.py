"""Images that a layer cannot tell apart up to a tolerance: proposed, corrected, measured."""

from .drawing import TrainedLayer, draw
from .proving import DRAWING_SHARE, sample_invariances
from .samples import Samples, to_hu

__all__ = [
    "DRAWING_SHARE",
    "Samples",
    "TrainedLayer",
    "draw",
    "sample_invariances",
    "to_hu",
]
