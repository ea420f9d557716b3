"""From pairs to training data: converted series on disk, slices in memory, patches on the device."""

from .patches import Patches, too_small
from .patients import Data, as_pairs, load_patients, needed
from .slices import PatientSlices
from .store import Store, store_at

__all__ = [
    "Data",
    "Patches",
    "PatientSlices",
    "Store",
    "as_pairs",
    "load_patients",
    "needed",
    "store_at",
    "too_small",
]
