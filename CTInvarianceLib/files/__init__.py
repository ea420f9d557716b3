"""Any file or folder to a `CTVolume`, and back."""

from .reading import read_volume, volume_files, volume_grid
from .sequence import write_sequence
from .suffixes import READABLE, volume_suffix
from .writing import require_no_input, require_writable, write_volume, writing_volume

__all__ = [
    "READABLE",
    "read_volume",
    "require_no_input",
    "require_writable",
    "volume_files",
    "volume_grid",
    "volume_suffix",
    "write_sequence",
    "write_volume",
    "writing_volume",
]
