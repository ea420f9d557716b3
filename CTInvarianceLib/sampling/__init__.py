"""Images that a layer cannot tell apart: v → z̄ → x̄, in batches and tiles."""

from .drawing import TrainedLayer, draw
from .samples import DRAWING_SHARE, Samples, sample_invariances, to_hu

__all__ = [
    "DRAWING_SHARE",
    "Samples",
    "TrainedLayer",
    "draw",
    "sample_invariances",
    "to_hu",
]
