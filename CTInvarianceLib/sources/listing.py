"""Which files a folder tree holds, with what tells whether one has changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .series import Problem


class FileStamp(NamedTuple):
    """A file as its folder lists it: absolute folder, name, size in bytes, time of change in ns."""

    folder: str
    name: str
    size: int
    changed: int

    @property
    def path(self) -> str:
        """The whole path."""
        return os.path.join(self.folder, self.name)  # noqa: PTH118 - of 50000 files; a Path costs ten times as much


def stamp_of(path: str) -> FileStamp:
    """The stamp of one file.

    Raises:
        OSError: there is none.
    """
    found = os.stat(path)  # noqa: PTH116
    return FileStamp(*os.path.split(path), found.st_size, found.st_mtime_ns)


def stamps_under(path: Path, problems: list[Problem]) -> Iterator[FileStamp]:
    """A file, or all files of a tree in sorted order, without hidden ones (such as the ._ files of macOS).

    Args:
        path: absolute.
        problems: gets what cannot be followed: folders without permission, links to nowhere, pipes.
    """
    if not path.is_dir():
        yield stamp_of(os.fspath(path))
        return
    waiting = [os.fspath(path)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as listed:
                entries = sorted((each for each in listed if each.name[0] != "."), key=lambda e: e.name)
        except OSError as error:
            what = f"the folder cannot be read ({error.strerror})"
            problems.append(Problem(folder, what, "Check the disk and its permissions."))
            continue
        inside = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inside.append(entry.path)
            elif stamp := _entry_stamp(folder, entry, problems):
                yield stamp
        waiting += reversed(inside)


def _entry_stamp(folder: str, entry: os.DirEntry[str], problems: list[Problem]) -> FileStamp | None:
    """The stamp of what is no folder; None, and a problem, where it is no file either."""
    try:
        found = entry.stat()
    except OSError as error:
        linked = entry.is_symlink()
        what = "a link to a file that is not there" if linked else f"cannot be read ({error.strerror})"
        problems.append(Problem(entry.path, what, "Restore the file, or remove the link." if linked else ""))
        return None
    if stat.S_ISREG(found.st_mode):
        return FileStamp(folder, entry.name, found.st_size, found.st_mtime_ns)
    if stat.S_ISDIR(found.st_mode):  # links may lead in circles
        problems.append(Problem(entry.path, "a link to a folder is not followed", "Scan that folder too."))
    else:
        problems.append(Problem(entry.path, "a pipe or device, not a file", "Remove it."))
    return None
