"""CT in HU with its place in the patient, and a place in it."""

from .ct_volume import CTVolume
from .npy import open_foreign_hu, open_hu, writing_npy
from .orientation import axial_order, plane_of, require_axial, require_axial_grid
from .place import Place
from .region import Region
from .values import EMPTY_BELOW_HU, PADDING_HU, hardly_hu, padded, warn_of_values

__all__ = [
    "EMPTY_BELOW_HU",
    "PADDING_HU",
    "CTVolume",
    "Place",
    "Region",
    "axial_order",
    "hardly_hu",
    "open_foreign_hu",
    "open_hu",
    "padded",
    "plane_of",
    "require_axial",
    "require_axial_grid",
    "warn_of_values",
    "writing_npy",
]
