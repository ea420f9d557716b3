"""What everything may use: errors, events, whole files, what is ours or private; nothing but the standard library."""

from .atomic import require_folder, require_place, whole_file, writing
from .cache_folders import index_file, store_folder
from .errors import (
    ConfigError,
    CTInvarianceError,
    DataError,
    DicomError,
    GeometryWarning,
    HounsfieldWarning,
    LayerError,
    ModelsError,
    PairingWarning,
    VolumeError,
    WeightsError,
)
from .events import VERSION, Cancelled, Event, OnEvent, Progress, Reporter, part, unheard
from .own_folders import (
    MARK,
    SCRATCH,
    identifier_of,
    is_ours,
    is_scratch,
    mark_ours,
    new_identifier,
    remove_ours,
)
from .paths import PathLike, as_paths, files_under
from .printable import printable
from .private import make_private, private, private_folder

__all__ = [
    "MARK",
    "SCRATCH",
    "VERSION",
    "CTInvarianceError",
    "Cancelled",
    "ConfigError",
    "DataError",
    "DicomError",
    "Event",
    "GeometryWarning",
    "HounsfieldWarning",
    "LayerError",
    "ModelsError",
    "OnEvent",
    "PairingWarning",
    "PathLike",
    "Progress",
    "Reporter",
    "VolumeError",
    "WeightsError",
    "as_paths",
    "files_under",
    "identifier_of",
    "index_file",
    "is_ours",
    "is_scratch",
    "make_private",
    "mark_ours",
    "new_identifier",
    "part",
    "printable",
    "private",
    "private_folder",
    "remove_ours",
    "require_folder",
    "require_place",
    "store_folder",
    "unheard",
    "whole_file",
    "writing",
]
