"""Headers of DICOM files, kept on disk so that a second scan of an unchanged tree reads no file again.

One SQLite file for all sources; a row holds a file's path, size, time of change, and what was found in it. It may be
deleted at any time, and a damaged one is: it is made anew. SQLite's own locks let several scans run at once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from .dicom_tags import _DICOM_SUFFIXES, read_header
from .errors import DicomError
from .header_text import FORMAT, Found, HeaderReader, written
from .listing import FileStamp
from .protocol import Progress, unheard

_SCHEMA = (
    "CREATE TABLE files (folder BLOB, name BLOB, size INT, changed INT, shared TEXT, own TEXT,"
    " PRIMARY KEY (folder, name)) WITHOUT ROWID"
)
_BUSY_S = 10.0
_BATCH = 500  # files between two commits
_EVERY = 50  # files between two calls of progress
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_Row = tuple[bytes, bytes, int, int, str, str]
_Known = dict[bytes, tuple[int, int, str, str]]


class HeaderIndex:
    """The index in a file; None keeps nothing.

    Attributes:
        file: where it lies.
        trouble: why nothing could be kept, for the user; "" while all is well.
    """

    def __init__(self, file: Path | None) -> None:
        self.file, self.trouble = file, ""
        self._rows: sqlite3.Connection | None = None
        self._new: list[_Row] = []

    def headers(
        self, stamps: Sequence[FileStamp], *, progress: Progress = unheard
    ) -> Iterator[tuple[FileStamp, Found, bool]]:
        """What every file holds, and whether it had to be read for that; in the order given.

        Args:
            stamps: files with absolute paths, those of one folder one after the other.
            progress: gets the fraction that is done; what it raises stops the scan, and what was read is kept.
        """
        self.trouble, number, seen = "", 0, set()
        self._rows = self._open()
        try:
            for folder, several in groupby(stamps, lambda each: each.folder):
                seen.add(folder)
                key, reader = os.fsencode(folder), HeaderReader(Path(folder))
                known = self._known(key)
                for each in several:
                    if number % _EVERY == 0:
                        progress(number / len(stamps))
                    number += 1
                    name = os.fsencode(each.name)
                    yield each, *self._found(each, known.pop(name, None), (key, name), reader)
                self._forget(key, folder, known)
            self._forget_folders(seen)
        finally:
            self._keep()
            if self._rows:
                self._rows.close()
        progress(1.0)

    def _found(
        self,
        stamp: FileStamp,
        row: tuple[int, int, str, str] | None,
        key: tuple[bytes, bytes],
        reader: HeaderReader,
    ) -> tuple[Found, bool]:
        """What a file holds, from its row where that is of today, and whether it was read."""
        if row and row[0] == stamp.size and row[1] == stamp.changed:
            try:
                return reader.parsed(stamp.name, row[2], row[3]), False
            except (ValueError, TypeError):  # a row that somebody has changed
                pass
        found = _read(stamp)
        # A file that could not be opened may be readable the next time without having changed.
        if self._rows and not (isinstance(found, DicomError) and isinstance(found.__cause__, OSError)):
            self._new.append((*key, stamp.size, stamp.changed, *written(found)))
            if len(self._new) >= _BATCH:
                self._keep()
        return found, True

    def _open(self) -> sqlite3.Connection | None:
        """The index, empty where it was of another version or damaged; None where none can be kept."""
        if self.file is None:
            return None
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            try:
                return _opened(self.file)
            except sqlite3.DatabaseError as error:
                if not _damaged(error):
                    raise
                return self._anew()
        except (OSError, sqlite3.Error) as error:
            self.trouble = str(error)
            return None

    def _anew(self) -> sqlite3.Connection:
        assert self.file is not None
        for file in (self.file, self.file.with_name(f"{self.file.name}-journal")):
            file.unlink(missing_ok=True)
        return _opened(self.file)

    def _known(self, folder: bytes) -> _Known:
        """The rows of a folder, by the names of the files."""
        query = "SELECT name, size, changed, shared, own FROM files WHERE folder = ?"
        if not self._rows:
            return {}
        try:
            return {row[0]: row[1:] for row in self._rows.execute(query, (folder,))}
        except sqlite3.Error as error:
            self._give_up(error)
        return {}

    def _forget(self, key: bytes, folder: str, gone: _Known) -> None:
        """Drop the rows of files that are no longer there."""
        missing = [(key, name) for name in gone if not Path(folder, os.fsdecode(name)).exists()]
        self._write("DELETE FROM files WHERE folder = ? AND name = ?", missing)

    def _forget_folders(self, seen: set[str]) -> None:
        """Drop the rows of folders that are no longer there, below the folder that holds all that were seen."""
        common = os.path.commonpath(seen) if len(seen) > 1 else ""
        if not self._rows or os.path.dirname(common) == common:  # noqa: PTH120 - nothing, or the root of the disk
            return
        below, gone = os.fsencode(f"{common}{os.sep}"), []
        query = "SELECT min(folder) FROM files WHERE folder > ?"
        try:
            folder = self._rows.execute(query, (below,)).fetchone()[0]
            while folder and folder.startswith(below):
                if os.fsdecode(folder) not in seen and not os.path.isdir(folder):  # noqa: PTH112
                    gone.append((folder,))
                folder = self._rows.execute(query, (folder,)).fetchone()[0]
        except sqlite3.Error as error:
            self._give_up(error)
        self._write("DELETE FROM files WHERE folder = ?", gone)

    def _keep(self) -> None:
        """Write what was read; a short lock, so that other scans need not wait."""
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", self._new)
        self._new = []

    def _write(self, command: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows and self._rows:
            try:
                with self._rows:
                    self._rows.executemany(command, rows)
            except sqlite3.Error as error:  # a full or read-only disk must not end a scan
                self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        """Go on with a new file where this one is damaged, and else without any."""
        assert self._rows is not None
        self._rows.close()
        self._rows = None
        try:
            if not _damaged(error):
                raise error
            self._rows = self._anew()
        except (OSError, sqlite3.Error) as why:
            self.trouble = str(why)


def _damaged(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def _opened(file: Path) -> sqlite3.Connection:
    rows = sqlite3.connect(file, timeout=_BUSY_S)
    try:
        rows.execute("PRAGMA synchronous = OFF")  # a power failure may cost the index, which is made anew
        if _format(rows) != FORMAT:
            rows.execute("BEGIN IMMEDIATE")
            if _format(rows) != FORMAT:  # another scan may have been faster
                rows.execute("DROP TABLE IF EXISTS files")
                rows.execute(_SCHEMA)
                rows.execute(f"PRAGMA user_version = {FORMAT}")
            rows.commit()
        rows.execute("SELECT name, size, changed, shared, own FROM files LIMIT 1").fetchone()
    except sqlite3.Error:
        rows.close()
        raise
    return rows


def _format(rows: sqlite3.Connection) -> int:
    return int(rows.execute("PRAGMA user_version").fetchone()[0])


def _read(stamp: FileStamp) -> Found:
    if not stamp.size:
        suffix = os.path.splitext(stamp.name)[1].lower()  # noqa: PTH122
        if suffix not in ("", *_DICOM_SUFFIXES) and not suffix[1:].isdigit():  # digits are the end of a UID
            return None
        return DicomError("the file is empty", where=stamp.path, hint="Copy or export it again.")
    try:
        return read_header(Path(stamp.path))
    except DicomError as error:
        return error
