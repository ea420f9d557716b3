"""From pairs to training data: converted series on disk, slices in memory, patches on the device."""

from .patches import Patches
from .patients import Data, LeftOut, as_pairs, load_patients, needed
from .slices import PatientSlices
from .store import Store, own_seed, store_at

__all__ = [
    "Data",
    "LeftOut",
    "Patches",
    "PatientSlices",
    "Store",
    "as_pairs",
    "load_patients",
    "needed",
    "own_seed",
    "store_at",
]
