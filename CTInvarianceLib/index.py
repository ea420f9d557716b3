"""Headers of DICOM files, kept on disk so that a second scan of an unchanged tree reads no file again.

One SQLite file for all sources; a row holds a file's path, size, time of change, and what was found in it. It may be
deleted at any time, and a damaged one is: it is made anew. SQLite's own locks let several scans run at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from .dicom_tags import DicomHeader, read_header
from .errors import DicomError
from .protocol import Progress, unheard

_VERSION = 1  # of the rows; others are thrown away
_SCHEMA = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INT, changed INT, found TEXT) WITHOUT ROWID"
_BUSY_S = 10.0
_BATCH = 500  # files between two commits: what a cancelled scan loses at most
_TUPLES = [number for number, field in enumerate(fields(DicomHeader)[1:]) if "tuple" in str(field.type)]

Found = DicomHeader | DicomError | None
"""What a file holds: a header, damage, or nothing of DICOM."""


@dataclass(frozen=True)
class FileStamp:
    """A file as its folder lists it: size in bytes, time of change in ns."""

    path: str
    size: int
    changed: int


def stamps_under(path: Path) -> Iterator[FileStamp]:
    """A file, or all files of a tree in sorted order, without hidden ones (such as the ._ files of macOS)."""
    if not path.is_dir():
        yield _stamp(os.fspath(path), path.stat())
        return
    try:
        with os.scandir(path) as listed:
            entries = sorted((each for each in listed if not each.name.startswith(".")), key=lambda e: e.name)
    except PermissionError:
        return
    folders = []
    for entry in entries:
        with contextlib.suppress(OSError):  # a dangling link, or gone since it was listed
            if entry.is_dir():
                folders += [] if entry.is_symlink() else [entry.path]
            elif stat.S_ISREG((found := entry.stat()).st_mode):
                yield _stamp(entry.path, found)
    for folder in folders:
        yield from stamps_under(Path(folder))


def _stamp(path: str, found: os.stat_result) -> FileStamp:
    return FileStamp(path, found.st_size, found.st_mtime_ns)


class HeaderIndex:
    """The index in a file; None keeps nothing.

    Attributes:
        trouble: why nothing could be kept, for the user; "" while all is well.
    """

    def __init__(self, file: Path | None) -> None:
        self._file, self.trouble = file, ""

    def headers(
        self, stamps: Sequence[FileStamp], *, progress: Progress = unheard
    ) -> Iterator[tuple[FileStamp, Found, bool]]:
        """What every file holds, and whether it had to be read for that; in the order given.

        Args:
            stamps: files with absolute paths.
            progress: gets the fraction that is done; what it raises stops the scan, and what was read is kept.
        """
        with contextlib.closing(self._open()) as rows:
            known = self._known(rows, stamps)
            for number, each in enumerate(stamps):
                size, changed, text = known.pop(each.path, (0, 0, ""))
                if fresh := (size, changed) != (each.size, each.changed):
                    text = _written(_read(each))
                    self._keep(rows, [(each.path, each.size, each.changed, text)])
                if number % _BATCH == 0 or number + 1 == len(stamps):
                    self._keep(rows, (), commit=True)
                    progress(number / len(stamps))
                yield each, _parsed(each.path, text), fresh
            self._forget(rows, known, stamps)
        progress(1.0)

    def _open(self) -> sqlite3.Connection:
        """The index, empty where it was of another version or damaged; in memory where none can be kept."""
        if self._file is None:
            return _opened(None)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                return _opened(self._file)
            except sqlite3.DatabaseError as error:
                if "not a database" not in str(error) and "malformed" not in str(error):
                    raise
                self._file.unlink()
                return _opened(self._file)
        except (OSError, sqlite3.Error) as error:
            self.trouble = str(error)
            return _opened(None)

    def _known(
        self, rows: sqlite3.Connection, stamps: Sequence[FileStamp]
    ) -> dict[str, tuple[int, int, str]]:
        """The rows below the folder that holds all files."""
        if not stamps:
            return {}
        low, high = _range(stamps)
        query = "SELECT path, size, changed, found FROM files WHERE path BETWEEN ? AND ?"
        return {path: (size, changed, text) for path, size, changed, text in rows.execute(query, (low, high))}

    def _forget(
        self, rows: sqlite3.Connection, gone: dict[str, tuple[int, int, str]], stamps: Sequence[FileStamp]
    ) -> None:
        """Drop rows of files that are no longer there; those below other folders stay."""
        missing = [(path,) for path in gone if not os.path.lexists(path)] if len(stamps) > 1 else []
        if missing:
            with contextlib.suppress(sqlite3.Error), rows:
                rows.executemany("DELETE FROM files WHERE path = ?", missing)

    def _keep(
        self, rows: sqlite3.Connection, new: Sequence[tuple[str, int, int, str]], *, commit: bool = False
    ) -> None:
        try:
            rows.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", new)
            if commit:
                rows.commit()
        except sqlite3.Error as error:  # a full or read-only disk must not end a scan
            self.trouble = str(error)


def _opened(file: Path | None) -> sqlite3.Connection:
    rows = sqlite3.connect(file or ":memory:", timeout=_BUSY_S)
    try:
        if rows.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            rows.execute("DROP TABLE IF EXISTS files")
            rows.execute(f"PRAGMA user_version = {_VERSION}")
        rows.execute(_SCHEMA)
        rows.commit()
    except sqlite3.Error:
        rows.close()
        raise
    return rows


def _range(stamps: Sequence[FileStamp]) -> tuple[str, str]:
    """Bounds of the paths below the folder that holds all files."""
    first = stamps[0].path
    common = os.path.commonpath([each.path for each in stamps]) if len(stamps) > 1 else first
    return (common, common + chr(0x10FFFF)) if len(stamps) > 1 else (first, first)


def _read(each: FileStamp) -> Found:
    if not each.size:
        return DicomError("the file is empty", where=each.path, hint="Copy or export it again.")
    try:
        return read_header(Path(each.path))
    except DicomError as error:
        return error


def _written(found: Found) -> str:
    if isinstance(found, DicomError):
        return json.dumps({"what": found.what, "hint": found.hint})
    return json.dumps(found and astuple(found)[1:], separators=(",", ":"))


def _parsed(path: str, text: str) -> Found:
    values = json.loads(text)
    if values is None:
        return None
    if isinstance(values, dict):
        return DicomError(values["what"], where=path, hint=values["hint"])
    for number in _TUPLES:
        values[number] = tuple(values[number])
    return DicomHeader(Path(path), *values)
