"""The worker as the panel meets it: a real process, requests in, events out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from closeness import assert_same
from worker_panel import HANGS_S, OUTCOMES, WORKER, Panel

import CTInvarianceLib as cti
from CTInvarianceLib.base import VolumeError, mark_ours
from CTInvarianceLib.config import Question
from CTInvarianceLib.volumes import Region
from CTInvarianceLib.worker.context import ModelSets
from CTInvarianceLib.worker.failures import failure
from CTInvarianceLib.worker.json_lines import plain

posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups")


@pytest.fixture(scope="module")
def panel():
    """A worker for all tests that leave it alive."""
    panel = Panel(*WORKER)
    yield panel
    alive = panel.process.poll() is None
    panel.clean()
    assert alive, "the worker has not survived"


@pytest.fixture
def start():
    """Starts workers for tests that end them."""
    panels = []

    def start(*arguments):
        panels.append(Panel(*arguments))
        return panels[-1]

    yield start
    for panel in panels:
        panel.clean()


@pytest.fixture(scope="module")
def arrays(tiny_source, tmp_path_factory):
    """Low and full dose of three slices as .npy, and the volumes."""
    folder = tmp_path_factory.mktemp("arrays")
    found = {}
    for dose in ("low", "full"):
        volume = cti.read_volume(tiny.series(tiny_source, dose))
        hu = np.concatenate([volume.hu, volume.hu + 20, volume.hu[:, ::-1]]).astype(np.float32)
        np.save(folder / f"{dose}.npy", hu)
        found[dose] = (folder / f"{dose}.npy", cti.CTVolume(hu, volume.affine))
    return found


@pytest.fixture
def long(tiny_models, arrays, tmp_path):
    """A request that takes long if nobody stops it."""
    return {
        "command": "sample", "models": str(tiny_models), "denoiser": "chen", "layer": "5", "n": 30_000,
        "volume": str(arrays["low"][0]), "region": [0, 0, 32, 32], "out": str(tmp_path / "long"),
    }  # fmt: skip


def loaded(process):
    """Whether torch lies in a process's memory; None where nobody says."""
    maps = Path(f"/proc/{process.pid}/maps")
    return "libtorch" in maps.read_text() if maps.exists() else None


def test_it_is_there_long_before_torch_would_be(start):
    """0.2 s against 2 s, where nothing else runs: the quickest of some starts, in turns."""
    ours, theirs = [], []
    for _ in range(3):
        begin = time.perf_counter()
        panel = start(*WORKER)
        ours.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        theirs.append(time.perf_counter() - begin)
    assert min(ours) < 0.5 * min(theirs), (ours, theirs)
    assert panel.hello == {
        "event": "started", "job": "worker", "program": cti.__version__, "pid": panel.process.pid, "protocol": 1
    }  # fmt: skip
    time.sleep(0.3)
    assert not loaded(panel.process)
    result = panel.result(command="device")
    assert result["torch"] == torch.__version__
    assert result["threads"] == torch.get_num_threads()
    assert result["device"] in ("cpu", "cuda", "mps")
    assert loaded(panel.process) in (True, None)
    panel.write(b'{"command": "quit"}')
    assert panel.process.wait(timeout=HANGS_S) == 0


def test_describe_says_what_a_model_set_can_do(panel, tiny_models, tiny_spatial_models):
    vector, spatial = (
        panel.result(command="describe", models=str(m)) for m in (tiny_models, tiny_spatial_models)
    )
    assert [(r["embedding"], r["fixed_size"], r["factor"], r["patch_size"]) for r in (vector, spatial)] == [
        ("vector", True, None, 32), ("spatial", False, 4, 32)
    ]  # fmt: skip
    assert vector["name"] == "tiny"
    assert vector["domains"] == ["low", "full"]
    assert vector["denoisers"]["chen"]["layers"] == [
        {"name": "1", "channels": 64, "stride": 1, "trained": True},
        {"name": "3", "channels": 32, "stride": 1, "trained": False},
        {"name": "5", "channels": 1, "stride": 1, "trained": True},
    ]
    assert [layer["name"] for layer in vector["denoisers"]["yang"]["layers"]] == list("12345678")


def test_whoever_looks_into_the_log_finds_nothing_where_all_is_well(
    start, tiny_complete_models, tiny_models, arrays, tmp_path
):
    """torch warns once in a process, of arrays that it may not write: those from files."""
    volumes = {}
    for dose, (_, volume) in arrays.items():
        volumes[dose] = tmp_path / f"{dose}.npy"
        np.save(volumes[dose], volume.hu.astype(np.float32))
    low, full, affine = str(volumes["low"]), str(volumes["full"]), np.eye(4).tolist()
    panel = start(*WORKER)
    sample = {
        "command": "sample", "models": str(tiny_complete_models), "denoiser": "chen", "layer": "5", "n": 3,
        "volume": low, "region": [0, 0, 32, 32],
    }  # fmt: skip
    requests = [
        {"command": "device"},
        {"command": "describe", "models": str(tiny_models)},
        {**sample, "full_dose": full},
        {**sample, "affine": affine},
        {**sample, "full_dose": full, "domain": "full"},
        {**sample, "models": str(tiny_models)},
        {"command": "denoise", "models": str(tiny_models), "denoiser": "yang", "volume": low},
        {"command": "simulate", "volume": full, "affine": affine, "dose": 0.25, "seed": 0},
    ]
    said = []
    for number, request in enumerate(requests):
        if number > 1:
            request["out"] = str(tmp_path / f"{number}.npy")
        events = panel.ask(**request)
        said += [(request["command"], each["message"]) for each in events if each["event"] == "log"]
        assert events[-1]["event"] == "result", events[-1]
    assert panel.close() == 0
    assert not said
    assert not panel.errors


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_denoise_is_the_librarys(panel, tiny_models, arrays, tmp_path, kind):
    hu = arrays["low"][1].hu.astype(kind)
    np.save(tmp_path / "in.npy", hu)
    out = tmp_path / "öut put.npy"
    events = panel.ask(
        command="denoise",
        models=str(tiny_models),
        denoiser="yang",
        volume=str(tmp_path / "in.npy"),
        out=str(out),
    )
    assert events[-1]["volume"] == str(out)
    assert events[-2] | {"eta_s": 0} == {
        "event": "progress", "job": events[0]["job"], "stage": "denoising", "fraction": 1, "eta_s": 0,
        "stage_fraction": 1,
    }  # fmt: skip
    expected = cti.Models.load(tiny_models).denoise(cti.CTVolume(hu, np.eye(4)), "yang")
    assert np.load(out).dtype == np.float32
    assert_same(np.load(out), expected.hu)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.npy", out.name]


@pytest.mark.parametrize(
    ("kind", "domain"),
    [("vector", "low"), ("spatial", "low"), ("spatial", "full"), ("complete", "low"), ("complete", "full")],
)
def test_sample_is_the_librarys(panel, kind, domain, arrays, tmp_path, request):
    folder = request.getfixturevalue("tiny_models" if kind == "vector" else f"tiny_{kind}_models")
    (low_file, low), (full_file, full) = arrays["low"], arrays["full"]
    out = tmp_path / "out"
    events = panel.ask(
        command="sample", models=str(folder), denoiser="chen", layer="1", domain=domain, n=7, seed=3, tile=None,
        tolerance=0.7, volume=str(low_file), region=[9, 20, 32, 32], full_dose=str(full_file), out=str(out),
    )  # fmt: skip
    if kind == "vector":
        seen, seen_full, region = low.hu[:, 9:41, 20:52], full.hu[:, 9:41, 20:52], None
    else:
        seen, seen_full, region = low.hu, full.hu, Region(9, 20, 32, 32)
    proposals, expected = tiny.drawn(
        cti.Models.load(folder), seen, Question("chen", "1", 7, domain, 3, 0.7), region=region,
        full_dose_hu=seen_full,
    )  # fmt: skip
    result = events[-1]
    check_arrays(out, proposals)
    assert result["out"] == str(out / "corrected" if domain == "low" else out)
    check_arrays(Path(result["out"]), expected)
    assert (out / "corrected").exists() == (domain == "low"), "of full dose nothing is corrected"
    slices = result["table"]["slices"]
    assert [row["seed"] for row in slices] == [3, 4, 5]
    for row, samples in zip(slices, expected, strict=True):
        np.testing.assert_allclose(row["consistency"]["of_every_sample"], samples.consistency, atol=1e-4)
        assert row["consistency"]["floor"] == pytest.approx(samples.floor, rel=1e-4)
        assert row["consistency"]["ceiling"] == pytest.approx(samples.ceiling, rel=1e-4)
        found = row["invariance"]
        assert (found["tolerance"], found["noise_from"]) == (0.7, "partner")
        assert found["tolerance_hu"] == pytest.approx(samples.tolerance_hu, rel=1e-4)
        assert found["visibility"] == pytest.approx(samples.visibility, rel=1e-3)
        assert found["spread"] == pytest.approx(samples.spread, rel=1e-3)
        if domain == "low":
            assert found["misfit_max"] == pytest.approx(samples.misfit.max(), rel=1e-3)
            assert found["moved_mean"] == pytest.approx(samples.moved.mean(), rel=1e-3, abs=1e-3)
        else:
            assert found["misfit_max"] is None
    ready = [e for e in events if "ready" in e]
    assert [e["ready"] for e in ready] == [{"out": str(out)}]
    check_progress(events)


def check_arrays(folder, slab):
    """What lies in a folder is the samples' own."""
    found = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    samples = found.pop("samples")
    assert samples.shape == (7, 3, 32, 32)
    assert set(found) == {"mean", "std", "denoised", "embedded", "target", "patch"}
    for name, array in found.items():
        assert array.dtype == np.float32
        assert_same(array, [getattr(s, name) for s in slab])
    assert_same(samples.swapaxes(0, 1), [s.images for s in slab])


@pytest.mark.parametrize(
    ("affine", "source"),
    [
        ([], "image"),
        (np.eye(4).tolist(), "simulation"),
        (np.diag([6.0, 6, 6, 1]).tolist(), "image"),
    ],
)
def test_without_a_partner_the_noise_is_simulated_or_read(
    panel, tiny_complete_models, arrays, tmp_path, affine, source
):
    """In the phantom's own 6 mm there is more of it than the simulation explains; in 1 mm there is not."""
    result = panel.result(
        command="sample", models=str(tiny_complete_models), denoiser="chen", layer="5", n=2,
        volume=str(arrays["low"][0]), affine=affine, out=str(tmp_path / "out"),
    )  # fmt: skip
    assert {row["invariance"]["noise_from"] for row in result["table"]["slices"]} == {source}


def check_progress(events, end=1):
    progress = [e for e in events if e["event"] == "progress"]
    fractions = [e["fraction"] for e in progress]
    assert fractions == sorted(fractions)
    assert fractions[0] >= 0
    assert end <= fractions[-1] <= 1
    assert all(e["stage"] and "eta_s" in e for e in progress)


def test_simulate_is_the_librarys(panel, arrays, tmp_path):
    path, volume = arrays["full"][0], cti.CTVolume(arrays["full"][1].hu, np.diag([1.0, 1, 1, 1]))
    events = panel.ask(
        command="simulate", volume=str(path), affine=volume.affine.tolist(), dose=0.5, seed=2,
        out=str(tmp_path / "low.npy"),
    )  # fmt: skip
    expected = cti.simulate_low_dose(volume, 0.5, seed=2)
    np.testing.assert_allclose(np.load(tmp_path / "low.npy"), expected.hu, atol=1e-2)
    assert events[-1]["spectrum"]["kind"] == expected.spectrum.kind
    assert events[-1]["note"] == expected.spectrum.sentence
    check_progress(events)


def test_train_and_evaluate(panel, tiny_source, tmp_path):
    config = tiny.config(
        "vector", denoisers={"identity": {"architecture": "identity", "loss": "none"}}
    ).to_dict()
    files = sorted(map(str, tiny_source.rglob("*.dcm")))
    training = {"command": "train", "config": config, "data": files, "out": str(tmp_path / "run")}
    events = panel.ask(**training)
    assert events[-1] == {"event": "result", "job": events[0]["job"], "out": str(tmp_path / "run")}
    assert {e["name"] for e in events if e["event"] == "metric"} >= {"loss"}
    check_progress(events, end=0.5)
    assert "there is a run in this folder already" in panel.error(**training)["message"]
    (tmp_path / "run" / "denoisers/identity.safetensors").unlink()
    assert panel.ask(**training, resume=True)[-1]["event"] == "result"
    out = str(tmp_path / "report")
    result = panel.result(command="evaluate", models=str(tmp_path / "run"), data=str(tiny_source), out=out)
    assert [row["denoiser"] for row in result["tables"]["denoising"]] == ["none (low dose)", "identity"]
    assert (tmp_path / "report/report.html").is_file()


def test_cancelled_training_keeps_its_work(panel, tiny_source, tmp_path):
    chen = {"architecture": "chen", "layers": [], "steps": 100_000, "batch_size": 2}
    config = tiny.config("vector", denoisers={"chen": chen}).to_dict()
    job = panel.send(command="train", config=config, data=str(tiny_source), out=str(tmp_path / "run"))
    while panel.hear().get("stage") != "denoiser chen":
        pass
    panel.send(command="cancel", job=job)
    assert [e["event"] for e in panel.until(*OUTCOMES, job=job)].count("cancelled") == 1
    assert (tmp_path / "run/checkpoints/denoiser-chen.safetensors").is_file()


def test_a_running_job_and_a_waiting_one_can_be_cancelled(panel, long):
    running, waiting, last = panel.send(**long), panel.send(**long), panel.send(command="device")
    panel.until("progress", job=running)
    panel.send(command="cancel", job=waiting)
    panel.send(command="cancel", job=running)
    panel.send(command="cancel", job="nobody knows it")
    events = []
    while not events or (events[-1]["event"], events[-1]["job"]) != ("result", last):
        events.append(panel.hear())
    outcomes = [(e["job"], e["event"]) for e in events if e["event"] in OUTCOMES]
    assert sorted(outcomes) == sorted([(waiting, "cancelled"), (running, "cancelled"), (last, "result")])
    assert not any(e["job"] == waiting and e["event"] == "started" for e in events)
    done = [e["fraction"] for e in events if (e["event"], e["job"]) == ("progress", running)]
    assert max(done, default=0) < 0.5, "it stops where it is"
    assert not Path(long["out"]).exists()


def test_progress_comes_at_most_ten_times_a_second(panel, long):
    """Whatever delays the events, so many of them need so long; without a limit they come in no time."""
    begin, seen = time.perf_counter(), 0
    job = panel.send(**long)
    while seen < 31 and panel.until("progress", *OUTCOMES, job=job)[-1]["event"] == "progress":
        seen += 1
    assert time.perf_counter() - begin > 0.1 * (seen - 3)  # the first and what says more are not held back
    if seen == 31:  # a quick machine has no more to do by now
        panel.send(command="cancel", job=job)
        panel.until("cancelled", job=job)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": "/nowhere"}, "this is no model set"),
        ({"models": None}, "models is missing"),
        ({"denoiser": "unet"}, "no denoiser of this name: 'unet'"),
        ({"layer": "9"}, "chen has no layer of this name: '9'"),
        ({"layer": 5}, "5 is not a str: command sample, layer"),
        ({"domain": "medium"}, "'medium' is not possible"),
        ({"n": 0}, "0 samples cannot be drawn"),
        ({"tolerance": 0}, "a tolerance of 0 rescans is outside"),
        ({"tolerance": "wide"}, "'wide' is not a float"),
        ({"region": [40, 40, 32, 32]}, "is not inside an image of 64×64"),
        ({"region": [1, 2]}, "a region is top, left, height, width"),
        ({"region": None}, "these models were trained on 32×32 pixels"),
        ({"colour": "blue"}, "no setting named colour"),
        ({"volume": "/nowhere.npy"}, "cannot read the volume (No such file or directory): /nowhere.npy"),
        ({"volume": __file__}, "this is no .npy file"),
        ({"volume": "nan"}, "1 values are NaN or infinite, the first in slice 1"),
        ({"volume": "flat"}, "HU are int16 or float32 of shape (slices, rows, columns), not float64 of (4, 4)"),
        ({"volume": "pickle"}, "this is no .npy file"),
        ({"full_dose": "small"}, "low dose and full dose differ in size"),
        ({"command": "dream"}, "no such command: 'dream'"),
        ({"command": ["device"]}, "no such command"),
        ({"out": "/dev/null/x"}, "/dev/null"),
        *(({name: text}, f"the path is empty: command sample, {name}") for name in ("models", "volume", "out")
          for text in ("", " ")),
        ({**dict.fromkeys(("models", "denoiser", "layer", "n", "volume", "region")), "command": "train", "data": "x",
          "out": ""}, "the path is empty: command train, out"),
    ],
)  # fmt: skip
def test_bad_requests_are_errors_and_the_worker_goes_on(panel, long, changes, message, arrays, tmp_path):
    nan = arrays["low"][1].hu.copy()
    nan[1, 2, 3] = np.nan
    files = {
        "nan": nan,
        "flat": np.zeros((4, 4)),
        "small": arrays["low"][1].hu[:, :40],
        "pickle": np.array([{"a": 1}], object),
    }
    for key, value in changes.items():
        if isinstance(value, str) and value in files:
            np.save(tmp_path / f"{value}.npy", files[value])
            changes = {**changes, key: str(tmp_path / f"{value}.npy")}
    error = panel.error(**{**long, "n": 3, **changes})
    assert message in error["message"]
    assert error["traceback"].startswith("Traceback")
    assert error["type"]
    assert isinstance(error["hint"], str)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "one JSON object in one line"),
        (b"\xff\xfe", "one JSON object in one line"),
        (b"[" * 100_000, "one JSON object in one line"),
        (b"[1]", "a request is a JSON object"),
        (b'{"command": "device"}', "the request names no job"),
        (b'{"command": "device", "job": [1]}', "the request names no job"),
        (b'{"command": "cancel"}', "the request names no job"),
    ],
    ids=range(7),
)
def test_bad_lines_are_errors_of_no_job(panel, line, message):
    panel.write(line)
    event = panel.hear()
    assert (event["event"], event["job"]) == ("error", None)
    assert message in event["message"]


def test_a_request_without_command_is_an_error_of_its_job(panel):
    assert "the request has no command" in panel.error()["message"]


def gone(pid):
    """Wait until a process is no more."""
    for _ in range(20 * HANGS_S):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists() and stat.read_text().split()[2] == "Z":  # nobody has waited for it yet
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("busy", [False, True])
def test_it_ends_with_its_input_and_takes_the_scratch_folder_along(start, tmp_path, long, busy):
    scratch = tmp_path / "ctinvariance-x"
    mark_ours(scratch, scratch.name)
    (scratch / "00001.npy").write_bytes(b"1")
    panel = start(*WORKER, "--scratch", scratch)
    if busy:
        panel.until("progress", job=panel.send(**long))
    assert panel.close() == 0
    assert not scratch.exists()


@pytest.mark.parametrize("name", ["thesis", "ctinvariance-thesis", "ctinvariance-copy", "ctinvariance-link"])
def test_no_other_folder_is_ever_removed(start, tmp_path, name):
    scratch, letter = tmp_path / name, tmp_path / name / "letter.txt"
    if name.endswith("link"):
        mark_ours(tmp_path / "there", name)
        scratch.symlink_to(tmp_path / "there", target_is_directory=True)
    elif name.endswith("copy"):
        mark_ours(scratch, "ctinvariance-original")
    else:
        scratch.mkdir()
    letter.write_text("dear")
    panel = start(*WORKER, "--scratch", scratch)
    warning = panel.hear()
    assert (warning["event"], warning["job"]) == ("log", "worker")
    assert f"{name} is no scratch folder" in warning["message"]
    assert panel.close() == 0
    assert letter.read_text() == "dear"


@posix
def test_a_killed_parent_takes_it_along(tmp_path):
    scratch = tmp_path / "ctinvariance-y"
    mark_ours(scratch, scratch.name)
    code = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE,"
        "stdout=subprocess.PIPE); print(p.stdout.readline().decode(), flush=True); time.sleep(1000)"
    )
    command = [sys.executable, "-c", code, *WORKER, "--scratch", str(scratch)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        pid = json.loads(parent.stdout.readline())["pid"]
        parent.kill()
    assert gone(pid)
    assert not scratch.exists()


@posix
def test_it_leads_a_group_of_its_own_and_ends_when_terminated(start, tmp_path, long):
    scratch = tmp_path / "ctinvariance-z"
    mark_ours(scratch, scratch.name)
    panel = start(*WORKER, "--scratch", scratch)
    assert os.getpgid(panel.process.pid) == panel.process.pid
    job = panel.send(**long)
    panel.until("progress", job=job)
    os.killpg(panel.process.pid, signal.SIGTERM)
    assert panel.until("cancelled", job=job)
    assert panel.process.wait(timeout=HANGS_S) == 130
    assert not scratch.exists()


NOISY = """
import ctypes, os, sys, warnings
from dataclasses import dataclass
from CTInvarianceLib.app import cli
from CTInvarianceLib.volumes import npy
from CTInvarianceLib.worker import requests
from contextlib import contextmanager
from pathlib import Path

@dataclass(frozen=True)
class Noisy:
    def run(self, work):
        print("print"); sys.stdout.flush(); os.write(1, b"write\\n"); os.system("echo system")
        ctypes.CDLL(None).puts(b"puts"); ctypes.CDLL(None).fflush(None)
        warnings.warn("watch\\n out")
        return {"value": float("nan"), "path": Path("x")}

@contextmanager
def full(path):  # the device is a real full disk: the kernel itself says so
    yield Path("/dev/full")

requests.JOBS["noisy"] = Noisy
npy.writing = full
sys.exit(cli.main(["worker"]))
"""


@posix
def test_nothing_but_events_reaches_standard_output(start):
    panel = start("-c", NOISY)
    started, log, result = panel.ask(command="noisy")
    assert started["event"] == "started"
    assert (log["event"], log["level"], log["message"]) == ("log", "warning", "watch out")
    assert result["value"] is None
    assert result["path"] == "x"
    panel.close()
    assert {b"print\n", b"write\n", b"system\n", b"puts\n"} <= set(panel.errors)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full")
def test_a_full_disk_is_named(start, tiny_models, arrays):
    panel = start("-c", NOISY)
    error = panel.error(
        command="denoise",
        models=str(tiny_models),
        denoiser="identity",
        volume=str(arrays["low"][0]),
        out="/out.npy",
    )
    assert error["message"] == "the disk is full: /out.npy"
    assert "Free space" in error["hint"]


def test_failures_have_hints():
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")):
        assert "fewer samples" in failure(error)["hint"]
    missing = failure(ModuleNotFoundError("No module named 'monai.metrics'", name="monai.metrics"))
    assert missing["message"] == "the Python package monai is not installed"
    assert missing["hint"] == "Install it: pip install monai"
    ours = failure(VolumeError("what", where="where", hint="Do this."))
    assert (ours["type"], ours["message"], ours["hint"]) == ("VolumeError", "what: where", "Do this.")
    assert failure(ZeroDivisionError("by zero"))["message"] == "ZeroDivisionError: by zero"


def test_values_become_plain():
    values = {
        "a": np.float32("nan"),
        1: [np.int64(3), float("inf")],
        "b": np.array([[1.5, np.nan]]),
        "c": (True, None),
    }
    assert plain(values) == {"a": None, "1": [3, None], "b": [[1.5, None]], "c": [True, None]}


def test_loaded_model_sets_are_kept_until_they_change(tiny_models, tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
        (folder / "models.json").write_bytes((tiny_models / "models.json").read_bytes())
    sets = ModelSets("cpu")
    first = sets.get(folders[0])
    assert sets.get(str(folders[0])) is first
    os.utime(folders[0] / "models.json", (1, 1))
    again = sets.get(folders[0])
    assert again is not first
    sets.get(folders[1])
    assert sets.get(folders[0]) is again
    sets.get(folders[1])
    sets.get(folders[2])
    assert sets.get(folders[0]) is not again
