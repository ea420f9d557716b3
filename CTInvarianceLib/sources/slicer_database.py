"""The files that 3D Slicer's DICOM database knows of, read while Slicer may have it open.

A database is a folder with `ctkDICOM.sql` (SQLite, schema 0.8.1). It is opened read-only; its images lie below it,
or, where Slicer was told to leave them where they are, anywhere.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..base import DataError
from .listing import FileStamp, stamp_of
from .series import Problem

DATABASE = "ctkDICOM.sql"
SCHEMA = "0.8.1"
_BUSY_S = 10.0  # during an import, SQLite answers "database is locked" now and then
_IMAGES = """
    SELECT Images.Filename, Images.SeriesInstanceUID, upper(coalesce(Series.Modality, ''))
    FROM Images LEFT JOIN Series ON Series.SeriesInstanceUID = Images.SeriesInstanceUID
"""
_PERHAPS_CT = ("CT", "")  # where the database does not say it, the file will
_OPEN_IN_SLICER = "Open it once in 3D Slicer, which updates it."


@dataclass(frozen=True)
class DatabaseFiles:
    """What a database lists.

    Attributes:
        files: of all series that may be CT, those of a folder one after the other.
        others: number of images of other modalities, by modality.
        problems: files that are gone, and an unexpected version.
    """

    files: tuple[FileStamp, ...]
    others: dict[str, int]
    problems: tuple[Problem, ...] = ()


def is_database(path: Path) -> bool:
    """Whether a path is a database's folder, or its ctkDICOM.sql."""
    return (path / DATABASE).is_file() or (path.name == DATABASE and path.is_file())


def database_files(folder: Path) -> DatabaseFiles:
    """The CT images of a database.

    Args:
        folder: of the database, absolute.

    Raises:
        DataError: busy for longer than 10 s, damaged, or of a schema without the tables that are needed.
    """
    try:
        with contextlib.closing(_open(folder / DATABASE)) as rows:
            version = _version(rows)
            images = rows.execute(_IMAGES).fetchall()
    except sqlite3.Error as error:
        raise _not_readable(folder, error) from error
    others = Counter(modality for *_, modality in images if modality not in _PERHAPS_CT)
    problems = []
    if version != SCHEMA:
        what = f"the DICOM database has schema {version or 'of no version'}, not {SCHEMA}"
        problems.append(Problem(str(folder), what, _OPEN_IN_SLICER))
    found, gone = _stamps(
        folder, [(name, series) for name, series, modality in images if modality in _PERHAPS_CT]
    )
    problems += [_gone(folder, series, names) for series, names in gone.items()]
    return DatabaseFiles(tuple(found), dict(others), tuple(problems))


def _stamps(
    folder: Path, images: Sequence[tuple[str | None, str]]
) -> tuple[list[FileStamp], dict[str, list[str]]]:
    """The files that are there, and by series, those that are not."""
    found: list[FileStamp] = []
    gone: dict[str, list[str]] = {}
    for name, series in images:
        # Names are relative with slashes, or absolute.
        path = os.path.join(folder, (name or "").replace("/", os.sep))  # noqa: PTH118
        try:
            if not name:
                raise FileNotFoundError
            found.append(stamp_of(path))
        except OSError:
            gone.setdefault(series, []).append(path)
    return sorted(found, key=lambda each: each[:2]), gone


def _gone(folder: Path, series: str, names: Sequence[str]) -> Problem:
    where = f"{folder}, series {series}"
    what = f"{len(names)} of its files are gone, the first is {min(names)}"
    return Problem(where, what, "Restore them, or remove the series in 3D Slicer.")


def _open(file: Path) -> sqlite3.Connection:
    """Read-only; on a disk that cannot be written to, SQLite must be told that nobody else writes either."""
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        rows = sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, timeout=_BUSY_S)
        try:
            rows.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            rows.close()
            if "locked" in str(error) or "immutable" in mode:
                raise
        else:
            return rows
    raise AssertionError  # the second mode has raised


def _version(rows: sqlite3.Connection) -> str:
    with contextlib.suppress(sqlite3.Error):
        found = rows.execute("SELECT Version FROM SchemaInfo").fetchone()
        return str(found[0]) if found else ""
    return ""


def _not_readable(folder: Path, error: sqlite3.Error) -> DataError:
    text = str(error)
    if "locked" in text:
        what, hint = "the DICOM database is busy", "Wait until 3D Slicer has finished its import."
    elif "no such" in text:
        what, hint = f"the DICOM database is of another schema ({text})", _OPEN_IN_SLICER
    else:
        what, hint = f"the DICOM database cannot be read ({text})", "Restore it, or import the images again."
    return DataError(what, where=folder, hint=hint)
