"""Every job of the worker has one end, whatever happens to its files, its name and its process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
import tiny
from worker_panel import HANGS_S, OUTCOMES, WORKER, Panel

from CTInvarianceLib.base import VolumeError, mark_ours
from CTInvarianceLib.volumes import open_foreign_hu, open_hu, writing_npy

posix = pytest.mark.skipif(os.name != "posix", reason="signals, pipes and rights as POSIX has them")


@pytest.fixture
def worker():
    """A worker of the test's own."""
    panel = Panel(*WORKER)
    yield panel
    panel.clean()


@pytest.fixture
def volume(tmp_path):
    hu = np.random.default_rng(0).normal(0, 50, (64, 32, 32)).astype(np.float32)
    np.save(tmp_path / "volume.npy", hu)
    return tmp_path / "volume.npy"


@pytest.fixture
def long(tiny_models, volume, tmp_path):
    """A request that takes long if nobody stops it."""
    return {
        "command": "sample", "models": str(tiny_models), "denoiser": "chen", "layer": "5", "n": 800,
        "volume": str(volume), "region": [0, 0, 32, 32], "out": str(tmp_path / "long"),
    }  # fmt: skip


def ends(panel) -> Counter[tuple[str, str]]:
    """Of all jobs, heard until the worker has closed its output."""
    panel.process.wait(timeout=HANGS_S)
    panel.close()
    found = []
    while not panel.events.empty():
        found.append(panel.events.get())
    last = {event["job"]: index for index, event in enumerate(found) if event["event"] in OUTCOMES}
    assert all(index <= last.get(event["job"], index) for index, event in enumerate(found)), (
        "nothing behind the end"
    )
    return Counter((event["job"], event["event"]) for event in found if event["event"] in OUTCOMES)


@pytest.mark.parametrize("how", ["quit", "end of input", "SIGTERM", "SIGINT"])
def test_however_the_worker_ends_every_job_has_one_end(worker, long, how):
    if how.startswith("SIG") and os.name != "posix":
        pytest.skip("signals as POSIX has them")
    running = worker.send(**long)
    # So many that the running one has ended before all of them are told.
    waiting = [worker.send(**long), *(worker.send(command="device") for _ in range(200))]
    worker.until("progress", job=running)
    if how == "quit":
        worker.write(b'{"command": "quit"}')
    elif how == "end of input":
        worker.process.stdin.close()
    else:
        worker.process.send_signal(getattr(signal, how))
    assert ends(worker) == Counter((job, "cancelled") for job in (running, *waiting))
    assert worker.process.returncode == (130 if how.startswith("SIG") else 0)


DEAF = """
import sys, time
from dataclasses import dataclass
from CTInvarianceLib.app import cli
from CTInvarianceLib.worker import requests

@dataclass(frozen=True)
class Deaf:
    def run(self, work):
        work.emit({"event": "log", "message": "begun"})
        time.sleep(3600)

@dataclass(frozen=True)
class Leaves:
    def run(self, work):
        sys.exit(3)

requests.JOBS.update(deaf=Deaf, leaves=Leaves)
sys.exit(cli.main(["worker"]))
"""


def test_a_job_that_does_not_listen_has_an_end_too():
    panel = Panel("-c", DEAF)
    try:
        job = panel.send(command="deaf")
        panel.until("log", job=job)
        panel.write(b'{"command": "quit"}')
        assert ends(panel) == {(job, "cancelled"): 1}
    finally:
        panel.clean()


def test_a_job_that_would_end_the_process_is_an_error():
    panel = Panel("-c", DEAF)
    try:
        assert panel.error(command="leaves")["type"] == "SystemExit"
        assert panel.result(command="device")
    finally:
        panel.clean()


@pytest.mark.parametrize("how", ["quit", "end of input"])
def test_training_is_saved_at_the_end(worker, tiny_source, tmp_path, how):
    # A step takes longer than a job that has nothing to save is waited for.
    chen = {"architecture": "chen", "layers": [], "patch_size": 32, "steps": 100_000, "batch_size": 128}
    config = tiny.config("vector", denoisers={"chen": chen}).to_dict()
    job = worker.send(command="train", config=config, data=str(tiny_source), out=str(tmp_path / "run"))
    while worker.hear().get("stage") != "denoiser chen":
        pass
    if how == "quit":
        worker.write(b'{"command": "quit"}')
    else:
        worker.process.stdin.close()
    assert ends(worker) == {(job, "cancelled"): 1}
    assert (tmp_path / "run/checkpoints/denoiser-chen.safetensors").is_file()


def test_of_one_name_there_is_one_job_at_a_time(worker, long):
    running, waiting = worker.send(**long), worker.send(command="device")
    worker.until("progress", job=running)
    for name in (running, waiting):
        worker.send(command="device", job=name)
        refused = _next(worker, "error")
        assert refused["job"] is None
        assert f"another job called '{name}' has not ended" in refused["message"]
    worker.send(command="cancel", job=running)
    heard = [_next(worker, *OUTCOMES) for _ in range(2)]
    assert [(event["job"], event["event"]) for event in heard] == [
        (running, "cancelled"),
        (waiting, "result"),
    ]
    for _ in range(3):  # once it has ended, the name is free at once
        assert worker.result(command="device", job=running)


def _next(panel, *kinds):
    while (event := panel.hear())["event"] not in kinds:
        pass
    return event


@posix
def test_a_file_that_is_cut_while_it_is_used_does_not_end_the_worker(worker, long, tmp_path):
    """Of a map, what lies behind the new end cannot be read: SIGBUS. Slices are denoised one after the other."""
    volume, out = tmp_path / "many.npy", tmp_path / "denoised.npy"
    np.save(volume, np.random.default_rng(0).normal(0, 50, (256, 64, 64)).astype(np.float32))
    request = {key: long[key] for key in ("models", "denoiser")}
    request |= {"command": "denoise", "volume": str(volume), "out": str(out)}
    job = worker.send(**request)
    worker.until("progress", job=job)
    os.truncate(volume, 128)
    assert worker.until(*OUTCOMES, job=job)[-1]["event"] == "result"
    assert open_hu(out).shape == (256, 64, 64)
    assert "half of one" in worker.error(**request)["message"]
    assert worker.result(command="device")


@posix
def test_arrays_of_others_lie_in_memory_and_not_in_the_file(volume):
    expected = np.load(volume)
    hu = open_foreign_hu(volume)
    os.truncate(volume, 128)
    assert np.array_equal(hu, expected)
    with pytest.raises(VolumeError, match="half of one"):
        open_foreign_hu(volume)


def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    """As when files were mapped, which took none in any case."""
    with (tmp_path / "bomb.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6, 10)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(VolumeError, match="half of one"):
        open_foreign_hu(tmp_path / "bomb.npy")


@posix
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "dangling link"])
def test_what_is_no_file_is_named_at_once(tmp_path, kind):
    path = tmp_path / "volume.npy"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "nowhere")
    words = "cannot read the volume" if kind == "dangling link" else "this is no file"
    for read in (open_hu, open_foreign_hu):
        with pytest.raises(VolumeError, match=words):
            read(path)


@posix
def test_a_pipe_does_not_hold_the_worker(worker, long, tiny_models, tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    assert "this is no file" in worker.error(**{**long, "volume": str(tmp_path / "pipe.npy")})["message"]
    for name in ("models.json", "embeddings/low.safetensors", "checkpoints/x"):
        models = tmp_path / name.replace("/", "-")
        shutil.copytree(tiny_models, models)
        (models / name).parent.mkdir(exist_ok=True)
        (models / name).unlink(missing_ok=True)
        os.mkfifo(models / name)
        error = worker.error(**{**long, "models": str(models)})
        assert "neither a file nor a folder" in error["message"]
        assert str(models / name) in error["message"]


@posix
@pytest.mark.parametrize("command", ["sample", "denoise"])
def test_a_vanished_scratch_folder_is_not_made_anew(long, tmp_path, command):
    scratch = tmp_path / "ctinvariance-x"
    mark_ours(scratch, scratch.name)
    panel = Panel(*WORKER, "--scratch", scratch)
    try:
        request = {**long, "n": 3, "out": str(scratch / "00002")}
        if command == "denoise":
            request = {key: request[key] for key in ("models", "denoiser", "volume")}
            request |= {"command": "denoise", "out": str(scratch / "00002.npy")}
        panel.result(**request)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in scratch.rglob("0*")}
        assert modes <= {0o700, 0o600}
        shutil.rmtree(scratch)
        assert str(scratch) in panel.error(**request)["message"]
        assert not scratch.exists()
    finally:
        panel.clean()


def test_an_array_appears_in_a_folder_that_is_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"), writing_npy(tmp_path / "a" / "b.npy", 1, 1, 1):
        pass
    assert list(tmp_path.iterdir()) == []


@posix
def test_ctrl_c_at_a_terminal_ends_it_with_its_scratch_folder(tmp_path):
    scratch = tmp_path / "ctinvariance-y"
    mark_ours(scratch, scratch.name)
    command = [sys.executable, *WORKER, "--scratch", str(scratch)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["event"] == "started"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=HANGS_S)
    assert process.returncode == 130
    assert error == b""
    assert not scratch.exists()
