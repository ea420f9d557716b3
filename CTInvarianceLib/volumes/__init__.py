"""CT in HU with its place in the patient, and a place in it."""

from .ct_volume import CTVolume
from .npy import open_hu, writing_npy
from .place import Place
from .region import Region

__all__ = [
    "CTVolume",
    "Place",
    "Region",
    "open_hu",
    "writing_npy",
]
