"""The rows of the index in their SQLite file: opened, made anew where damaged, given up where they cannot be kept."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..base import make_private, private, private_folder
from .header_text import FORMAT

_SCHEMA = (
    "CREATE TABLE files (folder BLOB, name BLOB, size INT, changed INT, shared TEXT, own TEXT,"
    " PRIMARY KEY (folder, name)) WITHOUT ROWID"
)  # names are bytes: on some disks they are no text
_BUSY_S = 10.0
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Row = tuple[bytes, bytes, int, int, str, str]
"""Folder, name, size, time of change, and the two texts of `header_text`."""

Known = dict[bytes, tuple[int, int, str, str]]
"""The rest of a row by the name of the file."""


class IndexRows:
    """Rows in a file, which is emptied where it was of another version or damaged; without rows where none can be kept.

    Args:
        file: None keeps nothing.

    Attributes:
        trouble: why nothing can be kept; "" while all is well.
    """

    def __init__(self, file: Path | None) -> None:
        self.trouble = ""
        self._file, self._rows = file, None
        if file is not None:
            try:
                private_folder(file.parent)
                self._rows = _opened(file)
            except (OSError, sqlite3.Error) as error:
                self._give_up(error)

    def __bool__(self) -> bool:
        """Whether rows are kept."""
        return self._rows is not None

    def close(self) -> None:
        """To be called once."""
        if self._rows:
            self._rows.close()

    def known(self, folder: str) -> Known:
        """The rows of a folder."""
        query = "SELECT name, size, changed, shared, own FROM files WHERE folder = ?"
        return {row[0]: row[1:] for row in self._asked(query, os.fsencode(folder))}

    def keep(self, new: Sequence[Row]) -> None:
        """Add rows, or replace them; a short lock, so that other scans need not wait."""
        self._write("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", new)

    def forget(self, folder: str, names: Sequence[bytes]) -> None:
        """Drop the rows of files."""
        key = os.fsencode(folder)
        self._write("DELETE FROM files WHERE folder = ? AND name = ?", [(key, name) for name in names])

    def forget_folders(self, seen: set[str]) -> None:
        """Drop the rows of folders that are no longer there, below the folder that holds all that were seen."""
        common = os.path.commonpath(seen) if len(seen) > 1 else ""
        if os.path.dirname(common) == common:  # noqa: PTH120 - nothing, or the root of a disk
            return
        below, gone = os.fsencode(f"{common}{os.sep}"), []
        folder = self._next_folder(below)
        while folder.startswith(below):
            if (name := os.fsdecode(folder)) not in seen and not Path(name).is_dir():
                gone.append((folder,))
            folder = self._next_folder(folder)
        self._write("DELETE FROM files WHERE folder = ?", gone)

    def _next_folder(self, folder: bytes) -> bytes:
        """The next one in order; b"" behind the last."""
        found = self._asked("SELECT min(folder) FROM files WHERE folder > ?", folder)
        return found[0][0] or b"" if found else b""

    def _asked(self, query: str, value: bytes) -> list[tuple[Any, ...]]:
        """What a query finds; nothing where there are no rows."""
        if not self._rows:
            return []
        try:
            return self._rows.execute(query, (value,)).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []

    def _write(self, command: str, values: Sequence[tuple[object, ...]]) -> None:
        if values and self._rows:
            try:
                with self._rows:
                    self._rows.executemany(command, values)
            except sqlite3.Error as error:  # a full or read-only disk must not end a scan
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Go on with a new file where this one is damaged, and else without any."""
        self.close()
        self._rows = None
        if self._file is None or getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
            self.trouble = str(error)
            return
        try:
            for file in (self._file, self._file.with_name(f"{self._file.name}-journal")):
                file.unlink(missing_ok=True)
            self._rows = _opened(self._file)
        except (OSError, sqlite3.Error) as why:
            self.trouble = str(why)


def _opened(file: Path) -> sqlite3.Connection:
    """The file, which holds names of patients, for this user alone; SQLite's journals take its rights."""
    with suppress(OSError), open(file, "ab", opener=private):
        make_private(file)
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
