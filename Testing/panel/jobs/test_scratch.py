"""The panel's scratch folder: private, known by its mark, and swept only where it is ours and old."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from CTInvariancePanel.jobs.scratch import Scratch

from CTInvarianceLib.base import MARK, is_scratch, mark_ours

DAYS = 24 * 3600.0
posix = pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")


def aged(path: Path, days: float) -> None:
    then = time.time() - days * DAYS
    os.utime(path, (then, then))


def test_what_is_not_ours_is_not_swept(tmp_path):
    kept = ["ctinvariance-thesis", "ctinvariance-copied", "ctinvariance-results", "ctinvariance-of-today"]
    (tmp_path / kept[0]).mkdir()
    mark_ours(tmp_path / kept[1], "ctinvariance-original")
    (tmp_path / kept[2]).write_text("a file")
    mark_ours(tmp_path / kept[3], kept[3])
    mark_ours(tmp_path / "ctinvariance-old", "ctinvariance-old")
    (tmp_path / "ctinvariance-old" / "00001.npy").write_bytes(b"1")
    for name in [*kept, "ctinvariance-old"]:
        aged(tmp_path / name, 30)
        if (tmp_path / name / MARK).exists() and name != kept[3]:
            aged(tmp_path / name / MARK, 30)
    folder = Scratch(tmp_path).folder
    assert {each.name for each in tmp_path.iterdir()} == {*kept, folder.name}


def test_a_panel_that_stays_open_keeps_its_folder(tmp_path):
    """For days nothing may be written to it; asking for it says that it is in use."""
    scratch = Scratch(tmp_path)
    aged(scratch.folder, 30)
    aged(scratch.folder / MARK, 30)
    folder = scratch.folder
    Scratch(tmp_path).folder  # noqa: B018 - sweeps
    assert folder.is_dir()


@posix
def test_nobody_else_may_look_into_it(tmp_path):
    scratch, umask = Scratch(tmp_path / "temp"), os.umask(0)
    try:
        list(scratch.write(np.zeros((1, 2, 2), np.int16)))
    finally:
        os.umask(umask)
    assert stat.S_IMODE(scratch.folder.stat().st_mode) == 0o700
    (written,) = scratch.folder.glob("*.npy")
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


@posix
@pytest.mark.parametrize("kind", ["gone", "open to all", "a link"])
def test_a_vanished_folder_is_made_anew_under_a_name_that_nobody_could_know(tmp_path, kind):
    scratch = Scratch(tmp_path)
    first = scratch.folder
    first.rename(tmp_path / "away")
    if kind == "open to all":
        first.mkdir()
        first.chmod(0o777)
    elif kind == "a link":
        first.symlink_to(tmp_path / "away", target_is_directory=True)
    second = scratch.folder
    assert second != first
    assert is_scratch(second)
    assert stat.S_IMODE(second.stat().st_mode) == 0o700


def test_it_is_removed_at_the_end_whoever_has_been_faster(tmp_path):
    scratch = Scratch(tmp_path)
    (scratch.folder / "00001").mkdir()
    scratch.remove()
    assert list(tmp_path.iterdir()) == []
    scratch.folder.rename(tmp_path / "x")
    scratch.remove()
