"""Paths as people give them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .errors import DataError

PathLike = str | os.PathLike[str]


def as_path(path: PathLike, *, where: str | None = None) -> Path:
    """A path.

    Args:
        path: as it was given.
        where: what to call it in the message.

    Raises:
        DataError: an empty one, which Python takes for the current folder.
    """
    if not os.fspath(path).strip():
        raise DataError("the path is empty", where=where, hint="The current folder is called .")
    return Path(path)


def as_paths(source: PathLike | Sequence[PathLike]) -> list[Path]:
    """One path or several, as a list.

    Raises:
        DataError: see `as_path`.
    """
    return [as_path(each) for each in ([source] if isinstance(source, str | os.PathLike) else source)]


def files_under(folder: Path) -> list[Path]:
    """All files of a folder tree in sorted order, without hidden ones (such as the ._ files of macOS)."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
    return found
