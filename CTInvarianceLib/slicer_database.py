"""The files that 3D Slicer's DICOM database knows of, read while Slicer may have it open.

A database is a folder with `ctkDICOM.sql` (SQLite, schema 0.8.1). It is opened read-only; its images lie below it,
or, where Slicer was told to leave them where they are, anywhere.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from .errors import DataError

DATABASE = "ctkDICOM.sql"
SCHEMA = "0.8.1"
_BUSY_S = 10.0  # during an import, SQLite answers "database is locked" now and then
_OPEN_IN_SLICER = "Open it once in 3D Slicer, which updates it."


@dataclass(frozen=True)
class DatabaseFiles:
    """What a database lists.

    Attributes:
        folder: of the database.
        files: of all CT series, absolute.
        others: number of images of other modalities, by modality.
        outdated: what is to be said about an unexpected version; "" where it is as expected.
    """

    folder: Path
    files: tuple[Path, ...]
    others: dict[str, int]
    outdated: str = ""


def is_database(path: Path) -> bool:
    """Whether a path is a database's folder, or its ctkDICOM.sql."""
    return (path / DATABASE).is_file() or (path.name == DATABASE and path.is_file())


def database_files(path: Path, *, timeout_s: float = _BUSY_S) -> DatabaseFiles:
    """The CT images of a database.

    Args:
        path: its folder, or its ctkDICOM.sql.
        timeout_s: how long to wait for Slicer to finish writing.

    Raises:
        DataError: busy for longer than that, damaged, or of a schema without the tables that are needed.
    """
    folder = (path if path.is_dir() else path.parent).absolute()
    try:
        with contextlib.closing(_open(folder / DATABASE, timeout_s)) as rows:
            version = _version(rows)
            images = rows.execute(
                "SELECT Images.Filename, upper(coalesce(Series.Modality, '')) FROM Images"
                " JOIN Series ON Series.SeriesInstanceUID = Images.SeriesInstanceUID"
            ).fetchall()
    except sqlite3.Error as error:
        raise _not_readable(folder, error) from error
    others: dict[str, int] = {}
    for _, modality in images:
        if modality != "CT":
            others[modality or "unnamed modality"] = others.get(modality or "unnamed modality", 0) + 1
    files = [folder / name for name, modality in images if name and modality == "CT"]
    outdated = ""
    if version != SCHEMA:
        outdated = f"the database has schema {version or 'of no version'}, not {SCHEMA}"
    return DatabaseFiles(folder, tuple(sorted(files)), others, outdated)


def _open(file: Path, timeout_s: float) -> sqlite3.Connection:
    """Read-only; on a disk that cannot be written to, SQLite must be told that nobody else writes either."""
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        rows = sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, timeout=timeout_s)
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
