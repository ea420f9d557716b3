"""Paths as people give them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .errors import DataError

PathLike = str | os.PathLike[str]


def as_paths(source: PathLike | Sequence[PathLike]) -> list[Path]:
    """One path or several, as a list.

    Raises:
        DataError: an empty one, which Python takes for the current folder.
    """
    paths = [source] if isinstance(source, str | os.PathLike) else list(source)
    if not all(os.fspath(path).strip() for path in paths):
        raise DataError("the path is empty", hint="The current folder is called .")
    return [Path(path) for path in paths]


def files_under(folder: Path) -> list[Path]:
    """All files of a folder tree in sorted order, without hidden ones (such as the ._ files of macOS)."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
    return found
