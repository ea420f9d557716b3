"""Where things are looked at: the compare layout, that of a training, and the square that is dragged over a slice."""

from .layout import registerLayouts, showVolume
from .patchroi import PatchROI
from .training import enterTraining, leaveTraining, registerTraining, showCharts, showImages, showsTraining

__all__ = [
    "PatchROI",
    "enterTraining",
    "leaveTraining",
    "registerLayouts",
    "registerTraining",
    "showCharts",
    "showImages",
    "showVolume",
    "showsTraining",
]
