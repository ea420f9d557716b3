"""A training that nobody waits for: it is told by its folder, and tells there how it stands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny

import CTInvarianceLib as cti
from CTInvarianceLib.config import State, ask_to_stop, begin_run, delete_models, is_alive, read_standing

HANGS_S = 300  # what takes longer than that will never come, on however busy a machine
CHEN = {"architecture": "chen", "layers": ["5"], "patch_size": 17, "steps": 6, "batch_size": 4}


def config(**changes):
    return tiny.config("complete", denoisers={"chen": {**CHEN, **changes}}).to_dict()


def start(folder):
    return subprocess.Popen([sys.executable, "-m", "CTInvarianceLib", "worker", "--training", str(folder)])


def until(condition):
    end = time.monotonic() + HANGS_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def run(tmp_path, tiny_source):
    """Starts a training; whatever becomes of it, nothing is left."""
    begun = []

    def run(settings, data=None, folder=tmp_path / "Läufe" / "run"):
        if not folder.exists():
            begin_run(
                folder, {"data": data or sorted(map(str, tiny_source.rglob("*.dcm"))), "config": settings}
            )
        begun.append(start(folder))
        return begun[-1], folder

    yield run
    for process in begun:
        process.kill()
        process.wait()


def test_it_trains_what_the_request_says_and_leaves_nothing_of_patients(run):
    process, folder = run(config())
    assert process.wait(HANGS_S) == 0
    standing = read_standing(folder)
    assert (standing.state, standing.fraction, standing.notes) == (State.DONE, 1.0, ())
    assert list(standing.stages)[:4] == ["data", "embedding low", "embedding full", "denoiser chen"]
    assert set(standing.stages.values()) == {1.0}
    assert cti.Models.load(folder).layers("chen") == ["5"]
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert not left & {"request.json", "output.txt", "example.npz", ".stop"}
    delete_models(folder)
    assert not folder.exists()


def test_it_is_paused_killed_and_resumed_from_where_it_was(run):
    process, folder = run(config(steps=1_000_000))
    until((folder / "checkpoints" / "example.npz").is_file)
    with np.load(folder / "checkpoints" / "example.npz") as example:
        assert {name: example[name].dtype for name in ("low_dose", "denoised", "full_dose")} == dict.fromkeys(
            ("low_dose", "denoised", "full_dose"), np.float32
        )
        assert example["denoised"].shape == (64, 64)
        assert -1100 < example["full_dose"].min() < example["full_dose"].max() < 3000, "HU"
        assert set(example) == {"stage", "low_dose", "denoised", "full_dose"}
    ask_to_stop(folder, State.PAUSED)
    assert process.wait(HANGS_S) == 130
    paused = read_standing(folder)
    assert paused.state is State.PAUSED
    assert (folder / "checkpoints" / "denoiser-chen.safetensors").is_file()
    assert not (folder / ".stop").exists()
    process, _ = run(None, folder=folder)
    until(lambda: (now := read_standing(folder)).state is State.RUNNING and now.stage == "denoiser chen")
    assert read_standing(folder).stages["denoiser chen"] >= paused.stages["denoiser chen"]
    process.kill()
    process.wait()
    assert not is_alive(folder)
    assert read_standing(folder).state is State.RUNNING, "who is killed says nothing"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGTERM to be heard")
def test_when_the_system_ends_it_what_is_done_is_kept(run):
    process, folder = run(config(steps=1_000_000))
    until(lambda: (now := read_standing(folder)) and now.stage == "denoiser chen")
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANGS_S) == 130
    assert read_standing(folder).state is State.PAUSED
    assert (folder / "checkpoints" / "denoiser-chen.safetensors").is_file()


@pytest.mark.parametrize(
    ("settings", "data", "told"),
    [
        ({}, None, "say what to train"),
        ({"flow": {"steps": 0}}, None, "steps"),
        (config(), ["nowhere.dcm"], "no such file"),
    ],
)
def test_what_it_cannot_do_is_said_in_the_folder(run, settings, data, told):
    process, folder = run(settings, data)
    assert process.wait(HANGS_S) == 2
    standing = read_standing(folder)
    assert standing.state is State.FAILED
    assert told in standing.message
    assert (folder / "request.json").is_file(), "it may be resumed when that is mended"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if sys.platform == "win32" or os.geteuid() or subprocess.run(command, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_what_was_done_is_kept(run, small_disk):
    process, folder = run(config(), folder=small_disk / "run")
    assert process.wait(HANGS_S) == 2
    standing = read_standing(folder)
    assert standing.state is State.FAILED
    assert "disk is full" in standing.message
    assert standing.stages["data"] == 1
