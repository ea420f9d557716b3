"""What everything may use: errors, events, files that appear whole; nothing but the standard library."""

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
    ModelsWarning,
    PairingWarning,
    VolumeError,
    WeightsError,
)
from .events import VERSION, Cancelled, Event, OnEvent, Progress, Reporter, part, unheard
from .figures import decimal, megabytes
from .paths import PathLike, as_paths, files_under
from .plain_json import json_text, read_text
from .time_left import TimeLeft

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
    "ModelsWarning",
    "OnEvent",
    "PairingWarning",
    "PathLike",
    "Progress",
    "Reporter",
    "TimeLeft",
    "VolumeError",
    "WeightsError",
    "as_paths",
    "decimal",
    "files_under",
    "index_file",
    "json_text",
    "megabytes",
    "part",
    "read_text",
    "require_folder",
    "require_place",
    "store_folder",
    "unheard",
    "whole_file",
    "writing",
]
