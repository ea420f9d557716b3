"""Folders and files that only this user may look into: what we keep of patients without having been asked to."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def private_folder(folder: Path) -> None:
    """Make a folder, and those above that are missing, for this user alone; one that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    if folder.is_dir():
        return
    private_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def private(path: str, flags: int) -> int:
    """An opener for `open`: the file that it makes is for this user alone."""
    return os.open(path, flags, 0o600)


def make_private(path: Path) -> None:
    """Take from all others the rights to a folder or file of ours; of one that is not ours they stay."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            found = path.lstat()
            if found.st_mode & 0o077 and not path.is_symlink():
                path.chmod(found.st_mode & 0o700)
