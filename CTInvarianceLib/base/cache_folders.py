"""Where the library keeps what it can make again: the index of DICOM files and the store of converted series."""

from __future__ import annotations

import os
from pathlib import Path

from .private import make_private

VARIABLE = "CTINVARIANCE_CACHE"


def cache_folder() -> Path:
    """The folder named by the environment variable CTINVARIANCE_CACHE, else the user's cache; it may not exist yet.

    Earlier versions let all users look into the latter, which ends here.
    """
    from platformdirs import user_cache_dir

    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    folder = Path(user_cache_dir("ctinvariance", appauthor=False))
    make_private(folder)
    return folder


def store_folder() -> Path:
    """Where series are stored if nobody says where."""
    return cache_folder() / "store"


def index_file() -> Path:
    """Where the headers of known DICOM files are kept."""
    return cache_folder() / "headers.sqlite"
