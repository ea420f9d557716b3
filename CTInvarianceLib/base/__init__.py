"""What everything may use: errors, events, whole files, what is ours or private; nothing but the standard library."""

from .atomic import (
    require_folder,
    require_place,
    require_replaceable,
    sweep,
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
    ModelsWarning,
    PairingWarning,
    ProcessError,
    VolumeError,
    WeightsError,
    unreadable,
)
from .events import VERSION, Cancelled, Event, OnEvent, Progress, Reporter, part, unheard
from .figures import decimal, megabytes
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
from .paths import PathLike, as_path, as_paths, files_under
from .plain_json import json_text, read_text
from .printable import printable
from .private import make_private, private, private_folder
from .time_left import TimeLeft
from .wording import in_words

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
    "ModelsWarning",
    "OnEvent",
    "PairingWarning",
    "PathLike",
    "ProcessError",
    "Progress",
    "Reporter",
    "TimeLeft",
    "VolumeError",
    "WeightsError",
    "as_path",
    "as_paths",
    "decimal",
    "files_under",
    "identifier_of",
    "in_words",
    "index_file",
    "is_ours",
    "is_scratch",
    "json_text",
    "make_private",
    "mark_ours",
    "megabytes",
    "new_identifier",
    "part",
    "printable",
    "private",
    "private_folder",
    "read_text",
    "remove_ours",
    "require_folder",
    "require_place",
    "require_replaceable",
    "store_folder",
    "sweep",
    "unheard",
    "unreadable",
    "whole_file",
    "writing",
    "writing_folder",
]
