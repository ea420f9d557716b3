"""Slicer's DICOM database as a source: the one that Slicer wrote, and everything that may be wrong with one."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series

from CTInvarianceLib.base import PairingWarning
from CTInvarianceLib.sources import HeaderIndex, Scan, find_pairs, scan
from CTInvarianceLib.sources.slicer_database import database_files, is_database

HU = np.zeros((3, 4, 5), np.int16)
NOTHING = HeaderIndex(None)
_TABLES = """
    CREATE TABLE SchemaInfo (Version);
    CREATE TABLE Series (SeriesInstanceUID PRIMARY KEY, StudyInstanceUID, Modality);
    CREATE TABLE Images (SOPInstanceUID PRIMARY KEY, Filename, URL, SeriesInstanceUID);
    INSERT INTO SchemaInfo VALUES ('0.8.1');
"""  # of Slicer's schema what is read; the tests with `real` use all of it


def fill(folder: Path, files: dict[str, list[str]], modality: str = "CT") -> Path:
    """A database of series with the paths of their files as the table holds them."""
    folder.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(folder / "ctkDICOM.sql") as rows:
        rows.executescript(_TABLES)
        for uid, names in files.items():
            rows.execute("INSERT INTO Series VALUES (?, '1', ?)", (uid, modality))
            images = [(f"{uid}.{number}", name, "", uid) for number, name in enumerate(names)]
            rows.executemany("INSERT INTO Images VALUES (?, ?, ?, ?)", images)
    rows.close()
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A database of a pair, in a folder with a space and an accent, stored relative."""
    folder = tmp_path / "Ä b"
    files = {}
    for uid, name in (("1.1", "Low Dose Images"), ("1.2", "Full Dose Images")):
        paths = write_series(folder / "dicom" / uid, HU, SeriesDescription=name, SeriesInstanceUID=uid)
        files[uid] = [path.relative_to(folder).as_posix() for path in paths]
    return fill(folder, files)


@pytest.fixture(scope="session")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database that Slicer 5.13 wrote, with its images. Not to be changed."""
    bench = pytest.importorskip("bench.dicom_database", reason="the bench needs slicer-core and PySide6")
    return bench.lay_out_shared_database(shared_data, tmp_path_factory.mktemp("é") / "a b")


def execute(folder: Path, *commands: str) -> None:
    rows = sqlite3.connect(folder / "ctkDICOM.sql")
    for command in commands:
        rows.execute(command)
    rows.commit()
    rows.close()


def series(found: Scan) -> set[str]:
    return {each.series_uid for pair in found.pairs for each in (pair.low_dose, pair.full_dose) if each}


# Slicer's own


def test_the_database_that_slicer_wrote_is_read(real, shared_data):
    found = scan(real, index=NOTHING)
    assert found.files == 50
    assert [problem.what for problem in found.problems if "database" in problem.what] == []
    originals = scan(shared_data / "dicom", index=NOTHING)
    assert series(found) == series(originals)
    assert len(series(found)) == 6
    assert [(p.patient_id, p.full_dose.shape, p.full_dose.spacing) for p in found.pairs] == [
        (p.patient_id, p.full_dose.shape, p.full_dose.spacing) for p in originals.pairs
    ]
    assert all(path.is_relative_to(real) for pair in found.pairs for path in pair.full_dose.files)


def test_a_database_may_be_named_by_its_file(real):
    assert is_database(real)
    assert is_database(real / "ctkDICOM.sql")
    assert not is_database(real / "dicom")
    assert series(scan(real / "ctkDICOM.sql", index=NOTHING)) == series(scan(real, index=NOTHING))


def test_files_that_stayed_where_they_were_are_read_there(real, shared_data, tmp_path):
    """Reference mode: absolute paths outside of the folder."""
    folder = tmp_path / "Réf b"
    folder.mkdir()
    shutil.copy(real / "ctkDICOM.sql", folder)
    rows = sqlite3.connect(folder / "ctkDICOM.sql")
    names = rows.execute("SELECT Filename FROM Images").fetchall()
    rows.executemany(
        "UPDATE Images SET Filename = ? WHERE Filename = ?", [(str(real / n), n) for (n,) in names]
    )
    rows.commit()
    rows.close()
    found = scan(folder, index=NOTHING)
    assert series(found) == series(scan(real, index=NOTHING))
    assert all(path.is_relative_to(real) for pair in found.pairs for path in pair.full_dose.files)


def test_a_scan_writes_nothing_into_the_database(made):
    before = {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in made.rglob("*") if path.is_file()
    }
    scan(made, index=NOTHING)
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in made.rglob("*") if path.is_file()}
    assert after == before


def test_a_pair_in_a_database_is_a_pair_and_the_index_serves_it(made, tmp_path):
    index = HeaderIndex(tmp_path / "headers.sqlite")
    for read in (6, 0):
        found = scan(made, index=index)
        assert [(pair.low_dose.series_uid, pair.full_dose.series_uid) for pair in found.pairs] == [
            ("1.1", "1.2")
        ]
        assert (found.problems, found.files, found.read) == ((), 6, read)


def test_only_what_the_database_lists_is_found(made):
    write_series(made / "dicom" / "more", HU, SeriesInstanceUID="1.9")
    (made / "thumbs").mkdir()
    (made / "thumbs" / "a.png").write_bytes(b"png")
    found = scan(made, index=NOTHING)
    assert series(found) == {"1.1", "1.2"}
    assert found.left_out == {}


def test_other_modalities_are_counted_and_their_files_not_looked_at(made):
    execute(made, "UPDATE Series SET Modality = 'mr' WHERE SeriesInstanceUID = '1.1'")
    found = scan(made, index=NOTHING)
    assert (found.left_out, found.files, series(found)) == ({"MR, not CT": 3}, 3, {"1.2"})


def test_where_the_database_names_no_modality_the_file_does(made):
    execute(made, "UPDATE Series SET Modality = NULL WHERE SeriesInstanceUID = '1.1'")
    execute(made, "DELETE FROM Series WHERE SeriesInstanceUID = '1.2'")
    found = scan(made, index=NOTHING)
    assert (found.left_out, series(found)) == ({}, {"1.1", "1.2"})


# While Slicer has it open


def test_it_is_read_while_somebody_reads_and_has_written(made):
    slicer = sqlite3.connect(made / "ctkDICOM.sql")
    slicer.execute("INSERT INTO Series VALUES ('1.7', '1', 'CT')")  # not committed: others still read
    found = scan(made, index=NOTHING)
    slicer.close()
    assert (series(found), found.problems) == ({"1.1", "1.2"}, ())


def test_an_import_is_waited_for(made, tmp_path, monkeypatch):
    """Another process locks the database for a second, as Slicer does between two images."""
    monkeypatch.setattr("CTInvarianceLib.sources.slicer_database._BUSY_S", 300)
    code = (
        "import sqlite3, sys, time; rows = sqlite3.connect(sys.argv[1]); rows.execute('BEGIN EXCLUSIVE')\n"
        "print('locked', flush=True); time.sleep(1); open(sys.argv[2], 'w').close(); rows.commit()"
    )
    released = tmp_path / "released"
    command = [sys.executable, "-c", code, str(made / "ctkDICOM.sql"), str(released)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as slicer:
        assert slicer.stdout.readline() == "locked\n"
        found = scan(made, index=NOTHING)
        assert released.exists(), "it has waited"
    assert (series(found), found.problems) == ({"1.1", "1.2"}, ())


def test_a_database_that_stays_busy_is_a_problem_and_its_folder_is_scanned(made, monkeypatch):
    monkeypatch.setattr("CTInvarianceLib.sources.slicer_database._BUSY_S", 0.2)
    slicer = sqlite3.connect(made / "ctkDICOM.sql")
    slicer.execute("BEGIN EXCLUSIVE")
    found = scan(made, index=NOTHING)
    slicer.close()
    (problem,) = found.problems
    assert (problem.where, problem.what) == (str(made), "the DICOM database is busy")
    assert "Wait until 3D Slicer has finished its import" in problem.hint
    assert series(found) == {"1.1", "1.2"}


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_either_journal_of_sqlite_is_read(made, mode):
    slicer = sqlite3.connect(made / "ctkDICOM.sql")
    slicer.execute(f"PRAGMA journal_mode = {mode}")
    slicer.execute("UPDATE Series SET Modality = 'MR' WHERE SeriesInstanceUID = '1.1'")
    slicer.commit()
    found = scan(made, index=NOTHING)
    slicer.close()
    assert series(found) == {"1.2"}


# What may be wrong


def test_another_version_that_can_be_read_is_said(made):
    execute(made, "UPDATE SchemaInfo SET Version = '0.7.0'")
    found = scan(made, index=NOTHING)
    (problem,) = found.problems
    assert problem.what == "the DICOM database has schema 0.7.0, not 0.8.1"
    assert problem.hint == "Open it once in 3D Slicer, which updates it."
    assert series(found) == {"1.1", "1.2"}
    with pytest.warns(PairingWarning, match=r"schema 0\.7\.0"):
        find_pairs(made)


@pytest.mark.parametrize(
    "command",
    [
        "ALTER TABLE Images RENAME TO Pictures",
        "ALTER TABLE Images RENAME COLUMN Filename TO Path",
        "ALTER TABLE Series DROP COLUMN Modality",
        "DROP TABLE Series",
    ],
)
def test_an_older_schema_is_a_problem_and_its_folder_is_scanned(made, command):
    execute(made, command, "DROP TABLE SchemaInfo")
    found = scan(made, index=NOTHING)
    (problem,) = found.problems
    assert problem.where == str(made)
    assert problem.what.startswith("the DICOM database is of another schema (no such ")
    assert problem.hint.startswith("Open it once in 3D Slicer, which updates it. Its folder is scanned")
    assert series(found) == {"1.1", "1.2"}


@pytest.mark.parametrize("content", [b"no SQLite at all " * 100, b"", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_database_is_a_problem_and_its_folder_is_scanned(made, content):
    (made / "ctkDICOM.sql").write_bytes(content)
    found = scan(made, index=NOTHING)
    (problem,) = found.problems
    assert problem.where == str(made)
    assert problem.what.startswith("the DICOM database ")
    assert series(found) == {"1.1", "1.2"}


def test_files_that_are_gone_are_named_by_series(made):
    shutil.rmtree(made / "dicom" / "1.1")
    execute(made, "UPDATE Images SET Filename = NULL WHERE SOPInstanceUID = '1.2.2'")
    found = scan(made, index=NOTHING)
    first, second = found.problems
    assert first.where == f"{made}, series 1.1"
    assert first.what.startswith(
        f"3 of its files are gone, the first is {made / 'dicom' / '1.1' / '000.dcm'}"
    )
    assert second.where == f"{made}, series 1.2"
    assert second.what.startswith("1 of its files")
    assert [pair.full_dose.shape for pair in found.pairs] == [(2, 4, 5)]


def test_an_empty_database_holds_no_series(tmp_path):
    found = scan(fill(tmp_path / "db", {}), index=NOTHING)
    assert (found.pairs, found.problems, found.files) == ((), (), 0)


def test_a_database_and_a_tree_with_the_same_files_find_them_once(made):
    found = scan([made, made / "dicom"], index=NOTHING)
    assert (len(found.pairs), found.files, found.problems) == (1, 6, ())


@pytest.fixture
def read_only(made: Path) -> Iterator[Path]:
    """The database in a folder that nobody may write to, and every user may enter, unlike pytest's."""
    top = Path(tempfile.mkdtemp())
    top.chmod(0o755)
    shutil.copytree(made, top / "db")
    (top / "db").chmod(0o555)
    (top / "db" / "ctkDICOM.sql").chmod(0o444)
    yield top / "db"
    (top / "db").chmod(0o755)
    shutil.rmtree(top)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_database_on_a_read_only_disk_is_read(read_only, journal):
    """As another user, because root may write everywhere; with a journal that wants to write beside it too."""
    read_only.chmod(0o755)
    (read_only / "ctkDICOM.sql").chmod(0o644)
    execute(read_only, f"PRAGMA journal_mode = {journal}")
    read_only.chmod(0o555)
    (read_only / "ctkDICOM.sql").chmod(0o444)
    code = (
        "import os, sys; from pathlib import Path; from CTInvarianceLib.sources.slicer_database import database_files\n"
        "os.geteuid() == 0 and os.setuid(65534)\n"
        "found = database_files(Path(sys.argv[1])); print(len(found.files), found.problems)"
    )
    command = [sys.executable, "-c", code, str(read_only)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    assert done.stdout == "6 ()\n"


def test_files_come_folder_by_folder(made):
    """The order that the index needs, though the database lists images as they were imported."""
    execute(made, "UPDATE Images SET SOPInstanceUID = 'x' || abs(random()) || SOPInstanceUID")
    folders = [stamp.folder for stamp in database_files(made).files]
    assert folders == sorted(folders)
