"""Images that a layer cannot tell apart up to a tolerance: proposed, corrected, measured."""

from .drawing import TrainedLayer, draw
from .proving import drawing_share, sample_invariances
from .samples import Samples, to_hu

__all__ = [
    "Samples",
    "TrainedLayer",
    "draw",
    "drawing_share",
    "sample_invariances",
    "to_hu",
]
