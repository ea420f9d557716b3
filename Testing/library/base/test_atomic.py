"""Files and folders that appear whole or not at all, and what is left of processes that were killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from CTInvarianceLib.base import VolumeError, require_place, require_replaceable, writing, writing_folder

NAMES = frozenset({"a.txt", "sub/b.txt"})


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def fill(folder: Path, text: str, *only: str) -> None:
    for name in only or sorted(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("before", [None, (), tuple(sorted(NAMES)), ("a.txt",)])
def test_a_folder_takes_the_place_of_an_older_one_as_a_whole(tmp_path, before):
    out = tmp_path / "new" / "out"
    if before is not None:
        out.mkdir(parents=True)
        for name in before:
            fill(out, "old", name)
    earlier = names(out)
    with writing_folder(out) as part:
        fill(part, "new")
        assert names(out) == earlier
    assert names(out) == ["a.txt", "sub", "sub/b.txt"]
    assert {(out / name).read_text() for name in NAMES} == {"new"}
    assert names(out.parent) == ["out", "out/a.txt", "out/sub", "out/sub/b.txt"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(28, "No space left")])
def test_a_folder_that_fails_leaves_the_older_one(tmp_path, error):
    fill(tmp_path / "out", "old")

    def fail() -> None:
        with writing_folder(tmp_path / "out") as part:
            fill(part, "new", "a.txt")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert {(tmp_path / "out" / name).read_text() for name in NAMES} == {"old"}
    assert names(tmp_path) == ["out", "out/a.txt", "out/sub", "out/sub/b.txt"]


def test_a_folder_that_cannot_take_the_name_leaves_the_older_one(tmp_path, monkeypatch):
    fill(tmp_path / "out", "old")
    rename, seen = Path.rename, []

    def failing(self: Path, target: Path) -> Path:
        seen.append(target)
        if len(seen) == 2:
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    def replace() -> None:
        with writing_folder(tmp_path / "out") as part:
            fill(part, "new")

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(PermissionError):
        replace()
    assert {(tmp_path / "out" / name).read_text() for name in NAMES} == {"old"}
    assert names(tmp_path) == ["out", "out/a.txt", "out/sub", "out/sub/b.txt"]


def test_errors_tell_of_the_name_that_people_know(tmp_path):
    def fail(error: BaseException, path: Path) -> None:
        with writing(path) as part:
            raise type(error)(*error.args, *([] if error.args[1:] else [part]))

    with pytest.raises(OSError, match="out"):
        fail(OSError(28, "No space left on device"), tmp_path / "out.txt")

    def nested() -> None:
        with writing_folder(tmp_path / "out") as part, writing(part / "a.txt") as file:
            raise VolumeError("not written", where=file)

    with pytest.raises(VolumeError) as caught:
        nested()
    assert str(caught.value) == f"not written: {(tmp_path / 'out' / 'a.txt').resolve()}"


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    fill(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with writing_folder(tmp_path / "link") as part:
        fill(part, "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"


# What may be replaced


def test_only_a_result_may_be_replaced_and_only_if_allowed(tmp_path, monkeypatch):
    out = tmp_path / "out"
    require_replaceable(out, NAMES, overwrite=False)
    require_replaceable(out / "deeper" / "down", NAMES, overwrite=False)
    out.mkdir()
    require_replaceable(out, NAMES, overwrite=False)
    fill(out, "old")
    require_replaceable(out, NAMES, overwrite=True)
    with pytest.raises(VolumeError, match=r"holds a result already.*--overwrite"):
        require_replaceable(out, NAMES, overwrite=False)
    for other in ("thesis.txt", ".hidden", "sub/c.txt", "b.txt"):
        (out / other).write_text("mine")
        for overwrite in (True, False):
            with pytest.raises(VolumeError, match=f"other files, such as {other}"):
                require_replaceable(out, NAMES, overwrite=overwrite)
        (out / other).unlink()
    (out / "other").symlink_to(tmp_path)
    with pytest.raises(VolumeError, match="other files, such as other"):
        require_replaceable(out, NAMES)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(VolumeError, match="as that is a file"):
        require_replaceable(tmp_path / "file", NAMES)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for here in (Path(), tmp_path / "empty", Path("/")):
        with pytest.raises(VolumeError, match="Name a new folder in it"):
            require_replaceable(here, NAMES)


def test_a_file_that_is_there_may_be_replaced_if_allowed(tmp_path):
    require_place(tmp_path / "a.txt", overwrite=False)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "a.txt").write_text("old")
    for name in ("a.txt", "dangling"):
        require_place(tmp_path / name)
        with pytest.raises(VolumeError, match=r"a file of that name.*--overwrite"):
            require_place(tmp_path / name, overwrite=False)


# What is left of processes that were killed

_KILLED = """
import os, signal, sys
from pathlib import Path
from CTInvarianceLib.base import writing, writing_folder
folder = Path(sys.argv[1])
with writing(folder / "a.txt") as file, writing_folder(folder / "b") as part:
    file.write_text("of a patient")
    (part / "c.txt").write_text("of a patient")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_who_comes_next_sweeps_what_is_ours_and_old(tmp_path):
    process = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    assert process.returncode < 0
    left = sorted(tmp_path.iterdir())
    assert len(left) == 2
    foreign = [
        tmp_path / name
        for name in (
            ".ctinvariance-notes",
            f"ctinvariance-{uuid.uuid4().hex}",
            f".ctinvariance-{uuid.uuid4().hex}x",
            f".{uuid.uuid4().hex}.nrrd",
            f".ctinvariance-{uuid.uuid4().hex.upper()}",
        )
    ]
    for path in foreign:
        path.write_text("mine")
    target = tmp_path / "target"
    fill(target, "mine")
    link = tmp_path / f".ctinvariance-{uuid.uuid4().hex}"
    link.symlink_to(target)
    young = [tmp_path / f".ctinvariance-{uuid.uuid4().hex}{ending}" for ending in ("", ".nii.gz")]
    for path in young:
        path.write_text("being written")
    old = time.time() - 2 * 3600
    for path in (*left, *foreign, link):
        os.utime(path, (old, old), follow_symlinks=False)
    with writing(tmp_path / "d.txt") as part:
        part.write_text("new")
    assert sorted(tmp_path.iterdir()) == sorted([*foreign, *young, target, tmp_path / "d.txt"])
    assert names(target) == ["a.txt", "sub", "sub/b.txt"]
