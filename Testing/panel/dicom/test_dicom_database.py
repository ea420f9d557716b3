"""The DICOM database of the bench against the one that Slicer wrote."""

from __future__ import annotations

import csv
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series, write_slice

bench = pytest.importorskip("bench.dicom_database", reason="the bench needs slicer-core and PySide6")

HU = np.random.default_rng(0).integers(-1000, 2000, (3, 4, 5), dtype=np.int16)


@pytest.fixture(scope="session")
def slicers(shared_data: Path, tmp_path_factory: pytest.TempPathFactory):
    """The real one, in a folder with a space and an accent."""
    database = bench.DicomDatabase(
        bench.lay_out_shared_database(shared_data, tmp_path_factory.mktemp("é") / "a b")
    )
    yield database
    database.closeDatabase()


@pytest.fixture(scope="session")
def ours(shared_data: Path, tmp_path_factory: pytest.TempPathFactory):
    """Our own, filled from the same files."""
    database = bench.DicomDatabase(tmp_path_factory.mktemp("ours"))
    assert database.addFolder(shared_data / "dicom", copy=True) == 50
    yield database
    database.closeDatabase()


def tables(path: Path) -> dict[str, list[tuple]]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        found = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
        indexes = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
        )
        found["indexes"] = indexes.fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("name", ["ctkDICOM.sql", "ctkDICOMTagCache.sql"])
def test_the_schema_is_slicers(shared_data, tmp_path, name):
    bench.DicomDatabase(tmp_path).closeDatabase()
    assert tables(tmp_path / name) == tables(shared_data / "slicer_dicom_database" / name)


def contents(database: bench.DicomDatabase) -> dict[str, dict]:
    """Everything that is asked of it, by series."""
    found = {}
    for patient in database.patients():
        for study in database.studiesForPatient(patient):
            for uid in database.seriesForStudy(study):
                files = database.filesForSeries(uid)
                found[uid] = {
                    "patient": [database.fieldForPatient(f, patient) for f in ("PatientID", "PatientsSex")],
                    "name": database.nameForPatient(patient),
                    "study": [database.fieldForStudy(f, study) for f in ("StudyDate", "StudyTime")],
                    "descriptions": [database.descriptionForStudy(study), database.descriptionForSeries(uid)],
                    "series": [
                        database.fieldForSeries(f, uid)
                        for f in ("SeriesNumber", "SeriesDate", "Modality", "BodyPartExamined")
                    ],
                    "instances": sorted(database.instancesForSeries(uid)),
                    "files": sorted(file.removeprefix(database.databaseDirectory) for file in files),
                    "first": [
                        database.fileValue(min(files), tag)
                        for tag in ("0008,0008", "0008,0016", "0018,0050", "0018,1210", "0028,0030")
                    ],
                }
    return found


def test_it_answers_like_slicers(slicers, ours):
    assert len(contents(slicers)) == 6
    assert contents(ours) == contents(slicers)


def test_copies_lie_where_slicer_puts_them(shared_data, ours):
    with (shared_data / "slicer_dicom_database" / "FILES.csv").open(encoding="utf-8") as file:
        assert all(Path(ours.databaseDirectory, row["Filename"]).is_file() for row in csv.DictReader(file))


def test_answers_are_tuples_in_the_order_of_import(tmp_path):
    files = [str(path) for path in write_series(tmp_path / "in", np.repeat(HU, 4, axis=0))]
    database = bench.DicomDatabase(tmp_path / "db")
    assert database.patients() == ()
    database.addFolder(tmp_path / "in")
    assert database.patients() == ("1",)
    found = database.filesForSeries("1.2.3.4")
    assert isinstance(found, tuple)
    assert sorted(found) == files
    assert list(found) != files
    assert database.filesForSeries("1.2.3.4", 2) == found[:2]
    assert database.fileValue(found[0], "0018,0050") == "3.0"
    instances = database.instancesForSeries("1.2.3.4")
    assert [database.instanceValue(uid, "0020,0032") for uid in instances] == [
        database.fileValue(file, "0020,0032") for file in found
    ]
    assert database.fileValue(found[0], "0018,1210") == database.fileValue("gone", "0018,0050") == ""


def test_it_changes_often_during_an_import(tmp_path):
    write_series(tmp_path / "in", HU)
    database, heard = bench.DicomDatabase(tmp_path / "db"), []
    database.connect("databaseChanged()", lambda: heard.append("old style"))
    database.databaseChanged.connect(lambda: heard.append("new style"))
    database.addFolder(tmp_path / "in")
    assert heard == ["old style", "new style"] * 3
    assert database.addFolder(tmp_path / "in") == 0


@pytest.mark.parametrize("copy", [True, False])
def test_removed_series_take_copies_along_and_nothing_else(tmp_path, copy):
    originals = write_series(tmp_path / "in", HU)
    write_slice(tmp_path / "in" / "other.dcm", HU[0].astype("<i2"), SeriesInstanceUID="1.9")
    database = bench.DicomDatabase(tmp_path / "db")
    assert database.addFolder(tmp_path / "in", copy=copy) == 4
    files = database.filesForSeries("1.2.3.4")
    assert database.removeSeries("1.2.3.4")
    assert database.seriesForStudy("1.2.3") == ("1.9",)
    assert all(path.is_file() for path in originals)
    assert [Path(file).is_file() for file in files] == [not copy] * 3
    database.removeSeries("1.9")
    assert database.patients() == database.studiesForPatient("1") == ()


def test_closed_it_knows_nothing(tmp_path):
    database = bench.DicomDatabase()
    assert not database.isOpen
    assert database.patients() == ()
    assert database.openDatabase(str(tmp_path / "ctkDICOM.sql"))
    assert database.isOpen
    assert database.databaseDirectory == str(tmp_path)
    database.closeDatabase()
    assert not database.isOpen
    assert database.databaseFilename == ""


def test_files_inside_the_folder_are_kept_relative(tmp_path):
    (path,) = write_series(tmp_path / "in" / "gé", HU[:1])
    database = bench.DicomDatabase(tmp_path)
    database.addFolder(tmp_path / "in")
    with sqlite3.connect(tmp_path / "ctkDICOM.sql") as connection:
        assert connection.execute("SELECT Filename FROM Images").fetchall() == [("in/gé/000.dcm",)]
    connection.close()
    assert database.filesForSeries("1.2.3.4") == (str(path),)
    assert database.fileValue(str(path), "0008,0060") == "CT"
