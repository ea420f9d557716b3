"""The index of headers: nothing is read twice, and nothing that happens to the index ends a scan."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series

from CTInvarianceLib.base import Cancelled, DataError
from CTInvarianceLib.sources import HeaderIndex, Scan, scan

HU = np.zeros((3, 4, 5), np.int16)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A pair, another series, and two files that are none."""
    folder = tmp_path / "tree"
    for name, uid, z in (("Low Dose Images", "1.1", 0), ("Full Dose Images", "1.2", 0), ("other", "1.3", 90)):
        write_series(folder / uid, HU, origin=(0, 0, z), SeriesDescription=name, SeriesInstanceUID=uid)
    (folder / "notes.txt").write_text("not DICOM")
    (folder / "cut.dcm").write_bytes(b"cut")
    return folder


@pytest.fixture
def index(tmp_path: Path) -> HeaderIndex:
    return HeaderIndex(tmp_path / "index" / "headers.sqlite")


def what(found: Scan) -> tuple[object, ...]:
    """All but how many files were read."""
    return found.pairs, found.problems, found.left_out, found.files


def rows(index: HeaderIndex) -> int:
    connection = sqlite3.connect(index.file)
    try:
        return connection.execute("SELECT count(*) FROM files").fetchone()[0]
    finally:
        connection.close()


# What is read


def test_a_second_scan_opens_no_file(tree, index):
    first = scan(tree, index=index)
    assert (first.files, first.read) == (11, 11)
    for file in tree.rglob("*.*"):
        if file.is_file():  # another content of the same size and date: whoever opened it would see
            stamp, size = file.stat(), file.stat().st_size
            file.write_bytes(b"x" * size)
            os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    again = scan(tree, index=index)
    assert again.read == 0
    assert what(again) == what(first)
    assert [each.headers for pair in again.pairs for each in (pair.full_dose,)] == [
        each.headers for pair in first.pairs for each in (pair.full_dose,)
    ]


def test_a_second_scan_opens_no_file_for_the_operating_system_either(tree, index):
    """Python tells of every file that is opened."""
    scan(tree, index=index)
    code = (
        "import sys; from pathlib import Path; from CTInvarianceLib.sources import HeaderIndex; opened = []\n"
        "from CTInvarianceLib.sources import scan\n"
        "sys.addaudithook(lambda event, args: event == 'open' and opened.append(str(args[0])))\n"
        f"found = scan({str(tree)!r}, index=HeaderIndex(Path({str(index.file)!r})))\n"
        f"assert len(found.pairs) == 2, found; assert not [x for x in opened if x.startswith({str(tree)!r})], opened"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_changed_new_and_deleted_files_are_noticed(tree, index):
    scan(tree, index=index)
    write_series(tree / "1.4", HU[:2], origin=(0, 0, 60), SeriesInstanceUID="1.4", SeriesDescription="new")
    (tree / "1.3" / "000.dcm").unlink()
    write_series(tree / "1.2", HU[:1], SeriesInstanceUID="1.2", SeriesDescription="Changed Full Dose Images")
    found = scan(tree, index=index)
    assert (found.files, found.read) == (12, 3)
    shapes = {pair.full_dose.description: pair.full_dose.shape[0] for pair in found.pairs}
    assert shapes["new"] == shapes["other"] == 2
    assert "Changed Full Dose Images" in shapes
    assert what(scan(tree, index=HeaderIndex(None))) == what(found)


def test_a_changed_file_of_the_same_size_is_noticed_by_its_date(tree, index):
    scan(tree, index=index)
    path = tree / "1.3" / "001.dcm"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"other", b"newer"))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert scan(tree, index=index).read == 1


def test_rows_of_deleted_files_and_folders_go_and_others_stay(tree, index, tmp_path):
    write_series(tmp_path / "elsewhere", HU)
    scan([tree, tmp_path / "elsewhere"], index=index)
    assert rows(index) == 14
    shutil.rmtree(tree / "1.3")
    (tree / "1.2" / "000.dcm").unlink()
    scan(tree, index=index)
    assert rows(index) == 10
    assert scan(tmp_path / "elsewhere", index=index).read == 0


def test_a_part_of_a_tree_uses_the_index_of_the_whole(tree, index):
    scan(tree, index=index)
    assert scan(tree / "1.2", index=index).read == 0
    assert scan([tree / "1.2" / "001.dcm", tree / "1.1" / "002.dcm"], index=index).read == 0
    assert scan(tree, index=index).read == 0
    assert rows(index) == 11


def test_without_a_file_nothing_is_kept(tree):
    index = HeaderIndex(None)
    assert [scan(tree, index=index).read for _ in range(2)] == [11, 11]


def test_the_index_lies_where_the_environment_says(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("CTINVARIANCE_CACHE", str(tmp_path / "häre now"))
    assert [scan(tree).read for _ in range(2)] == [11, 0]
    assert (tmp_path / "häre now" / "headers.sqlite").is_file()


def test_progress_rises_to_one(tree, index):
    for _ in range(2):
        heard: list[float] = []
        scan(tree, index=index, progress=heard.append)
        assert heard[0] == 0
        assert heard[-1] == 1
        assert heard == sorted(heard)


def test_a_cancelled_scan_keeps_what_it_read(tmp_path, index):
    write_series(tmp_path / "many", np.zeros((120, 2, 2), np.int16))

    def stop(fraction: float) -> None:
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        scan(tmp_path / "many", index=index, progress=stop)
    kept = rows(index)
    assert 60 <= kept < 120
    assert scan(tmp_path / "many", index=index).read == 120 - kept


# What may happen to the index


@pytest.mark.parametrize("damage", ["text", "middle", "cut", "empty", "journal"])
def test_a_damaged_index_is_made_anew(tree, index, damage):
    expected = what(scan(tree, index=index))
    content = bytearray(index.file.read_bytes())
    if damage == "text":
        content[:] = b"no database at all" * 100
    elif damage == "middle":
        content[4096:] = b"\x7f" * (len(content) - 4096)
    elif damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "empty":
        content.clear()
    else:
        content[:100] = b"\0" * 100
        index.file.with_name(f"{index.file.name}-journal").write_bytes(b"\xd9\xd5\x05\xf9" * 200)
    index.file.write_bytes(content)
    found = scan(tree, index=index)
    assert what(found) == expected
    assert scan(tree, index=index).read == 0


def test_an_index_of_another_version_is_made_anew(tree, index):
    expected = what(scan(tree, index=index))
    connection = sqlite3.connect(index.file)
    connection.executescript("DROP TABLE files; CREATE TABLE files (path TEXT); PRAGMA user_version = 1")
    connection.close()
    found = scan(tree, index=index)
    assert (what(found), found.read) == (expected, 11)
    assert scan(tree, index=index).read == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "[1,2,3,4]", '["a"]', "null"])
def test_rows_that_somebody_has_changed_are_read_again(tree, index, text):
    expected = what(scan(tree, index=index))
    with sqlite3.connect(index.file) as connection:
        connection.execute("UPDATE files SET own = ? WHERE shared <> ''", (text,))
    connection.close()
    found = scan(tree, index=index)
    assert (what(found), found.read) == (expected, 9)


def test_two_processes_scan_at_once(tmp_path, index):
    for number in range(4):
        folder, origin = tmp_path / "tree" / str(number), (number, 0, 0)
        write_series(folder, np.zeros((40, 2, 2), np.int16), origin=origin, SeriesInstanceUID=f"1.{number}")
    code = (
        "from pathlib import Path; from CTInvarianceLib.sources import HeaderIndex\n"
        "from CTInvarianceLib.sources import scan\n"
        f"found = scan({str(tmp_path / 'tree')!r}, index=HeaderIndex(Path({str(index.file)!r})))\n"
        "assert len(found.pairs) == 4 and not found.problems, found.problems"
    )
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(timeout=600) for process in running] == [0, 0]
    assert scan(tmp_path / "tree", index=index).read == 0


def test_an_index_that_somebody_else_keeps_locked_is_a_problem(tree, index, monkeypatch):
    monkeypatch.setattr("CTInvarianceLib.sources.index_rows._BUSY_S", 0.1)
    expected = what(scan(tree, index=index))
    (tree / "1.3" / "000.dcm").touch()
    other = sqlite3.connect(index.file)
    other.execute("BEGIN IMMEDIATE")
    found = scan(tree, index=index)
    other.close()
    assert found.read == 1
    assert found.pairs == expected[0]
    (problem,) = [each for each in found.problems if each not in expected[1]]
    assert problem.where == str(index.file)
    assert "cannot be kept (database is locked)" in problem.what


@pytest.mark.parametrize("place", ["folder", "below a file"])
def test_a_place_where_no_index_can_be_is_a_problem(tree, tmp_path, place):
    (tmp_path / "file").touch()
    index = HeaderIndex(tmp_path if place == "folder" else tmp_path / "file" / "headers.sqlite")
    found = scan(tree, index=index)
    assert len(found.pairs) == 2
    assert [each.where for each in found.problems if "index" in each.what] == [str(index.file)]


_CHILD = """
import os, resource, signal, sys
from pathlib import Path
from CTInvarianceLib.sources import HeaderIndex
from CTInvarianceLib.sources import scan
tree, file, limit = sys.argv[1:]
scan(tree, index=HeaderIndex(None))  # imports everything while that is allowed
if int(limit):  # a disk that is full: no file may grow beyond this
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
elif os.geteuid() == 0:
    os.setuid(65534)
found = scan(tree, index=HeaderIndex(Path(file)))
print(len(found.pairs), found.read, *(each.what for each in found.problems if "index" in each.what), sep="|")
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def child(*arguments: object) -> list[str]:
    command = [sys.executable, "-c", _CHILD, *map(str, arguments)]
    return (
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        .stdout.strip()
        .split("|")
    )


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_read_only_index_is_used_and_a_problem_once_it_should_grow(tree, open_folder):
    shutil.copytree(tree, open_folder / "tree")
    index = HeaderIndex(open_folder / "index" / "headers.sqlite")
    expected = scan(open_folder / "tree", index=index)
    index.file.chmod(0o444)
    index.file.parent.chmod(0o555)
    assert child(open_folder / "tree", index.file, 0) == [str(len(expected.pairs)), "0"]
    (open_folder / "tree" / "1.3" / "000.dcm").touch()
    pairs, read, problem = child(open_folder / "tree", index.file, 0)
    assert (pairs, read) == (str(len(expected.pairs)), "1")
    assert "readonly" in problem
    pairs, read, problem = child(open_folder / "tree", index.file.parent / "new" / "x.sqlite", 0)
    assert (pairs, read) == (str(len(expected.pairs)), "11")
    assert "Permission denied" in problem
    index.file.parent.chmod(0o755)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_a_full_disk_is_a_problem_and_the_scan_goes_on(tmp_path):
    write_series(tmp_path / "tree", np.zeros((200, 2, 2), np.int16))
    pairs, read, problem = child(tmp_path / "tree", tmp_path / "headers.sqlite", 20000)
    assert (pairs, read) == ("1", "200")
    assert "full" in problem or "disk I/O error" in problem


# Speed


def test_a_rescan_takes_less_than_an_eighth_of_the_time(tmp_path, index):
    """50000 files in benchmarks/scanning.py; here a few, best of three."""
    sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
    try:
        from scanning import make_tree
    finally:
        sys.path.pop(0)
    make_tree(tmp_path / "tree", 2000)
    first = seconds(tmp_path / "tree", index, read=2000)
    again = min(seconds(tmp_path / "tree", index, read=0) for _ in range(3))
    assert again < first / 8, (first, again)


def seconds(tree: Path, index: HeaderIndex, *, read: int) -> float:
    start = time.process_time()
    found = scan(tree, index=index)
    assert (found.files, found.read, sum(pair.low_dose is not None for pair in found.pairs)) == (
        2000,
        read,
        5,
    )
    return time.process_time() - start


def test_a_path_that_is_not_there_is_an_error(tmp_path, index):
    with pytest.raises(DataError, match=r"no such file.*gone"):
        scan(tmp_path / "gone", index=index)
