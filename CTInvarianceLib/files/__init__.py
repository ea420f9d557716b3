"""Any file or folder to a `CTVolume`, and back."""

from .reading import read_volume, volume_grid
from .sequence import write_sequence
from .suffixes import READABLE, volume_suffix
from .writing import require_writable, write_volume

__all__ = [
    "READABLE",
    "read_volume",
    "require_writable",
    "volume_grid",
    "volume_suffix",
    "write_sequence",
    "write_volume",
]
