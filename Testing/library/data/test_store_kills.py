"""A store whose processes were killed, or delete at once: nobody is blocked. Kills: `app/test_kills.py`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series

from CTInvarianceLib.app import main
from CTInvarianceLib.base import DataError
from CTInvarianceLib.data import Store
from CTInvarianceLib.sources import find_pairs

HU = np.random.default_rng(0).integers(-1000, 2000, (3, 64, 64), dtype=np.int16)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for number in range(8):
        write_series(
            folder / f"p{number}", HU + number, PatientID=f"p{number}", SeriesInstanceUID=f"1.{number}",
            SeriesDescription="full dose", ConvolutionKernel="B30f", BodyPartExamined="CHEST",
        )  # fmt: skip
    return folder


@pytest.fixture
def store(source, tmp_path) -> Store:
    store = Store(tmp_path / "store")
    for pair in find_pairs(source):
        store.series(pair.full_dose)
    return store


def left(store: Store) -> list[str]:
    """What lies in the store besides entries and locks."""
    entries = {each.folder.name for each in store.entries()}
    return sorted(each.name for each in store.folder.iterdir() if each.name not in {*entries, ".locks"})


@pytest.mark.parametrize("remains", ["half deleted", "of an earlier deletion", "half made"])
def test_what_a_killed_process_has_left_blocks_nobody_and_goes(source, store, remains):
    entry, *others = store.entries()
    key = entry.folder.name
    aside = store.folder / (f".{key}" if remains == "half made" else f".gone-{key}")
    if remains == "of an earlier deletion":  # and the series was stored once more
        shutil.copytree(entry.folder, aside)
        assert store.delete(entry)
    else:
        entry.folder.rename(aside)
        assert not store.delete(entry)
    assert not aside.exists()
    assert len(store.entries()) == len(others)
    assert left(store) == []
    store.series(find_pairs(source / entry.patient_id)[0].full_dose)
    assert len(store.entries()) == len(others) + 1


def test_what_is_being_made_is_not_swept(source, store):
    first, second, *_ = store.entries()
    unfinished = store.folder / f".{first.folder.name}"
    first.folder.rename(unfinished)
    with store._lock(first.folder.name):
        assert store.delete(second)
        assert unfinished.is_dir()
    store.delete(second)
    assert not unfinished.exists()


def test_two_that_delete_at_once_delete_everything_once(source, store):
    command = [
        sys.executable,
        "-m",
        "CTInvarianceLib",
        "store",
        "delete",
        "--all",
        "--store",
        str(store.folder),
    ]
    several = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = [(*each.communicate(timeout=600), each.returncode) for each in several]
    assert [(error, code) for _, error, code in said] == [("", 0)] * 3
    assert sum(int(out.split()[1]) for out, *_ in said) == 8, "no series is counted twice"
    assert left(store) == []
    assert store.entries() == []


def test_an_entry_that_is_gone_is_no_error(store):
    entry = store.entries()[0]
    assert store.delete(entry)
    assert not store.delete(entry)
    assert entry.size == 0


def test_only_what_the_store_has_written_under_its_own_key_is_an_entry(source, store, tmp_path, capsys):
    """Copies, links and folders of other people stay, whatever is asked for."""
    entry = store.entries()[0]
    copies = [store.folder / name for name in ("thesis", "0" * 32, f".gone-{'x' * 32}")]
    for copy in copies:
        shutil.copytree(entry.folder, copy)
    link = store.folder / ("f" * 32)
    if os.name == "posix":
        link.symlink_to(copies[0], target_is_directory=True)
    assert len(store.entries()) == 8
    assert main(["store", "delete", "--all", "--store", str(store.folder)]) == 0
    assert "Deleted 8 series" in capsys.readouterr().out
    for copy in copies:
        assert {each.name for each in copy.iterdir()} == {"hu.npy", "series.json"}
    assert os.name != "posix" or link.is_symlink()


def test_entries_of_an_earlier_version_are_not_used_and_can_be_deleted(source, store, capsys):
    entry, damaged, newer, *_ = store.entries()
    change(entry.folder / "series.json", format=1, key=None)
    change(newer.folder / "series.json", format=99)
    (damaged.folder / "hu.npy").write_bytes(b"half")
    assert len(store.entries()) == 5
    assert {each.folder for each in store.useless()} == {entry.folder, damaged.folder}
    folder = ["--store", str(store.folder)]
    assert main(["store", "list", *folder]) == 0
    assert "of an earlier version, or damaged" in capsys.readouterr().out
    assert main(["store", "delete", entry.patient_id, damaged.patient_id, *folder]) == 0
    assert "Deleted 2 series" in capsys.readouterr().out
    assert not entry.folder.exists()
    assert not damaged.folder.exists()
    assert newer.folder.exists(), "another program's, which may be in use"


def test_an_entry_with_odd_facts_is_passed_over(store):
    """One that somebody has changed, or a disk: the others are listed all the same."""
    entries = store.entries()
    odd = [
        {"patient_id": 5},
        {"description": []},
        {"shape": 3},
        {"colour": "red"},
        {"format": "2"},
        {"key": "x"},
    ]
    for entry, facts in zip(entries, odd, strict=False):
        change(entry.folder / "series.json", **facts)
    (entries[6].folder / "series.json").write_text("[1]")
    assert store.entries() == entries[7:]


def change(path: Path, **values) -> None:
    facts = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in facts.items() if value is not None}))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may do everything")
def test_a_store_of_other_people_is_named(store):
    store.folder.chmod(0o500)
    try:
        with pytest.raises(DataError, match="the store cannot be written to"):
            store.delete(store.entries()[0])
    finally:
        store.folder.chmod(0o700)
