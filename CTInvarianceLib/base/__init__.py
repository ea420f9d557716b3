"""What everything may use: errors, events, files that appear whole; nothing but the standard library."""

from .atomic import (
    require_folder,
    require_place,
    require_replaceable,
    whole_file,
    writing,
    writing_folder,
)
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
from .paths import PathLike, as_paths, files_under
from .wording import in_words

__all__ = [
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
    "in_words",
    "index_file",
    "part",
    "require_folder",
    "require_place",
    "require_replaceable",
    "store_folder",
    "unheard",
    "whole_file",
    "writing",
    "writing_folder",
]
