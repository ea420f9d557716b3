"""Slicer's DICOM database outside Slicer: what ctkDICOMDatabase answers, over SQLite in its real schema.

The methods and their order of results are those of ctkDICOMDatabase: rows come as they were imported, which
is not the order of the slices; lists arrive in Python as tuples of str; a missing value is ''.
"""

from __future__ import annotations

import csv
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .dicom_rows import NOT_THERE, as_listed, copied, read, series_row, study_row, value
from .dicom_schema import SCHEMA, TAG_CACHE, VERSION

CACHED = ("0008,0008", "0008,0016", "0008,103E", "0020,0013", "0020,0032", "0020,0037", "0028,0030")
"""Tags whose values are kept at import; Slicer keeps 61, these are what this module may ask for."""


class Signal:
    """What Python sees of a Qt signal."""

    def __init__(self) -> None:
        self._slots: list[Callable[[], object]] = []

    def connect(self, slot: Callable[[], object]) -> bool:
        self._slots.append(slot)
        return True

    def disconnect(self, slot: Callable[[], object]) -> bool:
        self._slots.remove(slot)
        return True

    def emit(self) -> None:
        for slot in list(self._slots):
            slot()


class DicomDatabase:
    """Stands in for `slicer.dicomDatabase`; closed at first, as there."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self.databaseChanged = Signal()
        self.databaseFilename = ""
        self._rows: sqlite3.Connection | None = None
        self._tags: sqlite3.Connection | None = None
        if folder is not None:
            self.openDatabase(folder)

    # Opening

    def openDatabase(self, folder: str | Path) -> bool:
        """Open or make the database of a folder; its ctkDICOM.sql may be named too, as in Slicer."""
        self.closeDatabase()
        path = Path(folder)
        path = path if path.name == "ctkDICOM.sql" else path / "ctkDICOM.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        self._rows = sqlite3.connect(path, timeout=10)
        self._tags = sqlite3.connect(path.with_name("ctkDICOMTagCache.sql"), timeout=10)
        if new:
            self._rows.executescript(SCHEMA)
            self._rows.execute("INSERT INTO SchemaInfo VALUES (?)", (VERSION,))
            self._rows.commit()
        self._tags.executescript(TAG_CACHE)
        self.databaseFilename = str(path)
        self.databaseChanged.emit()
        return True

    def closeDatabase(self) -> None:
        for connection in (self._rows, self._tags):
            if connection is not None:
                connection.close()
        self._rows = self._tags = None
        self.databaseFilename = ""

    @property
    def isOpen(self) -> bool:
        return self._rows is not None

    @property
    def databaseDirectory(self) -> str:
        return str(Path(self.databaseFilename).parent) if self.isOpen else ""

    def connect(self, signature: str, slot: Callable[[], object]) -> bool:
        """PythonQt's old style: `database.connect("databaseChanged()", f)`."""
        return bool(getattr(self, signature.removesuffix("()")).connect(slot))

    def disconnect(self, signature: str, slot: Callable[[], object]) -> bool:
        return bool(getattr(self, signature.removesuffix("()")).disconnect(slot))

    # What is in it

    def patients(self) -> tuple[str, ...]:
        return self._column("SELECT UID FROM Patients")

    def studiesForPatient(self, patient: str) -> tuple[str, ...]:
        return self._column("SELECT StudyInstanceUID FROM Studies WHERE PatientsUID = ?", patient)

    def seriesForStudy(self, study: str) -> tuple[str, ...]:
        return self._column("SELECT SeriesInstanceUID FROM Series WHERE StudyInstanceUID = ?", study)

    def instancesForSeries(self, series: str, hits: int = -1) -> tuple[str, ...]:
        """SOP instance UIDs, the first `hits` of them where that is positive."""
        found = self._column("SELECT SOPInstanceUID FROM Images WHERE SeriesInstanceUID = ?", series)
        return found[:hits] if hits > 0 else found

    def filesForSeries(self, series: str, hits: int = -1) -> tuple[str, ...]:
        """Absolute paths in the order of import, the first `hits` of them where that is positive."""
        found = self._column("SELECT Filename FROM Images WHERE SeriesInstanceUID = ?", series)
        found = found[:hits] if hits > 0 else found
        folder = self.databaseDirectory
        return tuple(os.path.join(folder, name) if name else "" for name in found)  # noqa: PTH118

    def fieldForPatient(self, field: str, patient: str) -> str:
        return self._first(f'SELECT "{field}" FROM Patients WHERE UID = ?', patient)

    def fieldForStudy(self, field: str, study: str) -> str:
        return self._first(f'SELECT "{field}" FROM Studies WHERE StudyInstanceUID = ?', study)

    def fieldForSeries(self, field: str, series: str) -> str:
        return self._first(f'SELECT "{field}" FROM Series WHERE SeriesInstanceUID = ?', series)

    def nameForPatient(self, patient: str) -> str:
        return self.fieldForPatient("PatientsName", patient)

    def descriptionForStudy(self, study: str) -> str:
        return self.fieldForStudy("StudyDescription", study)

    def descriptionForSeries(self, series: str) -> str:
        return self.fieldForSeries("SeriesDescription", series)

    def instanceForFile(self, file: str) -> str:
        """The SOP instance UID of a path, absolute or as the table holds it."""
        inside = os.path.relpath(file, self.databaseDirectory).replace(os.sep, "/") if file else ""
        return self._first("SELECT SOPInstanceUID FROM Images WHERE Filename IN (?, ?)", str(file), inside)

    def fileValue(self, file: str, tag: str) -> str:
        """A value such as "0018,0050"; from the cache, else from the file, and then cached."""
        instance, tag = self.instanceForFile(file), tag.upper()
        if self._tags is None or not instance:
            return ""
        query = "SELECT Value FROM TagCache WHERE SOPInstanceUID = ? AND Tag = ?"
        row = self._tags.execute(query, (instance, tag)).fetchone()
        if row is None:
            if not Path(file).is_file():
                return ""
            row = (value(read(Path(file)), tag),)
            self._cache(instance, {tag: row[0]})
            self._tags.commit()
        return "" if row[0] == NOT_THERE else str(row[0])

    def instanceValue(self, instance: str, tag: str) -> str:
        """As `fileValue`, by SOP instance UID."""
        name = self._first("SELECT Filename FROM Images WHERE SOPInstanceUID = ?", instance)
        return self.fileValue(str(Path(self.databaseDirectory, name)), tag) if name else ""

    # Changing it

    def addFolder(self, folder: str | Path, copy: bool = False) -> int:
        """Import every DICOM file below a folder; how many there were. `databaseChanged` after each."""
        added = 0
        for path in as_listed(Path(folder)):
            try:
                dataset = read(path)
            except Exception:  # as Slicer's indexer, which logs and passes over what it cannot read
                continue
            added += self._insert(dataset, path, copy)
        return added

    def removeSeries(self, series: str) -> bool:
        """Forget a series, and study and patient with the last of theirs; copies of its files go too."""
        assert self._rows is not None
        for file in self.filesForSeries(series):
            if Path(file).is_relative_to(Path(self.databaseDirectory) / "dicom"):
                Path(file).unlink(missing_ok=True)
        self._rows.execute("DELETE FROM Images WHERE SeriesInstanceUID = ?", (series,))
        self._rows.execute("DELETE FROM Series WHERE SeriesInstanceUID = ?", (series,))
        self._rows.execute(
            "DELETE FROM Studies WHERE StudyInstanceUID NOT IN (SELECT StudyInstanceUID FROM Series)"
        )
        self._rows.execute("DELETE FROM Patients WHERE UID NOT IN (SELECT PatientsUID FROM Studies)")
        self._rows.commit()
        self.databaseChanged.emit()
        return True

    def _insert(self, dataset: Any, path: Path, copy: bool) -> bool:
        instance, series, study = (
            str(dataset.get(name, "")) for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
        )
        known = self._first("SELECT 1 FROM Images WHERE SOPInstanceUID = ?", instance)
        if known or not (instance and series and study):
            return False
        assert self._rows is not None
        patient = self._patient(dataset, study)
        self._put("Studies", study_row(dataset, study, patient))
        self._put("Series", series_row(dataset, series, study))
        place = copied(path, Path(self.databaseDirectory), (study, series, instance)) if copy else path
        name = str(place.resolve())
        if place.resolve().is_relative_to(Path(self.databaseDirectory).resolve()):
            name = place.resolve().relative_to(Path(self.databaseDirectory).resolve()).as_posix()
        self._put(
            "Images", {"SOPInstanceUID": instance, "Filename": name, "URL": "", "SeriesInstanceUID": series}
        )
        self._rows.commit()
        self._cache(instance, {tag: value(dataset, tag) for tag in CACHED})
        self.databaseChanged.emit()
        return True

    def _patient(self, dataset: Any, study: str) -> str:
        """The key of the patient; anonymised files without id and name go by their study, as in CTK."""
        identity = str(dataset.get("PatientID") or "").strip() or study
        name = str(dataset.get("PatientName") or "").strip() or identity
        query = "SELECT UID FROM Patients WHERE PatientID = ? AND PatientsName = ?"
        if not self._first(query, identity, name):
            sex = str(dataset.get("PatientSex", ""))
            self._put("Patients", {"PatientsName": name, "PatientID": identity, "PatientsSex": sex})
        return self._first(query, identity, name)

    def _put(self, table: str, values: dict[str, Any]) -> None:
        assert self._rows is not None
        values = {**values, "InsertTimestamp": "2026-01-01T00:00:00.000"}
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self._rows.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", (*values.values(),))

    def _cache(self, instance: str, values: dict[str, str]) -> None:
        assert self._tags is not None
        rows = [(instance, tag, value) for tag, value in values.items()]
        self._tags.executemany("INSERT OR REPLACE INTO TagCache VALUES (?, ?, ?)", rows)

    def _column(self, query: str, *values: str) -> tuple[str, ...]:
        if self._rows is None:
            return ()
        return tuple("" if value is None else str(value) for (value,) in self._rows.execute(query, values))

    def _first(self, query: str, *values: str) -> str:
        return next(iter(self._column(query, *values)), "")


def lay_out_shared_database(shared_data: Path, folder: Path) -> Path:
    """The database that Slicer wrote, with its images where it expects them; returns the folder."""
    source = shared_data / "slicer_dicom_database"
    for name in ("ctkDICOM.sql", "ctkDICOMTagCache.sql"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(
            (source / name).read_bytes()
        )  # without the read-only mode of the original
    with (source / "FILES.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            target = folder / row["Filename"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shared_data / "dicom" / row["source"], target)
    return folder
