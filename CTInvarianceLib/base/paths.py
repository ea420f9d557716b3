"""Paths as people give them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

PathLike = str | os.PathLike[str]


def as_paths(source: PathLike | Sequence[PathLike]) -> list[Path]:
    """One path or several, as a list."""
    return [Path(source)] if isinstance(source, str | os.PathLike) else [Path(each) for each in source]


def files_under(folder: Path) -> list[Path]:
    """All files of a folder tree in sorted order, without hidden ones (such as the ._ files of macOS)."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
    return found
