"""Where things are looked at: the compare layout, and the square that is dragged over a slice."""

from .layout import registerLayouts, showVolume
from .patchroi import PatchROI

__all__ = [
    "PatchROI",
    "registerLayouts",
    "showVolume",
]
