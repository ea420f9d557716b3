"""Commands that are killed leave whole results or none; the next run works, and sweeps what is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from dicom_files import write_series
from killing import KILLS, Killer, Run, hashes, remains

import CTInvarianceLib as cti
from CTInvarianceLib.app import main
from CTInvarianceLib.base import files_under
from CTInvarianceLib.data import Store
from CTInvarianceLib.models import load_tensors

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::CTInvarianceLib.base.HounsfieldWarning"),
]
forks = pytest.mark.skipif(
    sys.platform != "linux", reason="only there is a process sure to live after a fork"
)

SAMPLES = {"mean.nrrd", "montage.png", "samples.seq.nrrd", "std.nrrd", "table.json"}
REPORT = {"report.json", "report.html"}
# Checkpoints at every step, rows of the index five by five, and few patches: more moments at which files change.
PREPARED = """
import CTInvarianceLib.report.evaluation as evaluation, CTInvarianceLib.sources.index as index
import CTInvarianceLib.training.checkpoint as checkpoint
evaluation._PATCHES, evaluation._TRUSTED_PATCHES, evaluation._SAMPLES = 6, 1, 2
index._BATCH, checkpoint._EVERY_S = 5, 0.0
"""


@pytest.fixture(scope="module")
def process() -> Iterator[Killer]:
    killer = Killer(PREPARED)
    yield killer
    killer.close()


@pytest.fixture
def killer(process) -> Iterator[Killer]:
    process.killed.clear()
    yield process
    print(f"killed: {dict(process.killed)}")


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    hu = np.random.default_rng(0).normal(40, 20, (20, 200, 200)).astype(np.int16)
    path = tmp_path_factory.mktemp("scan") / "scan.nrrd"
    cti.write_volume(cti.CTVolume(hu, np.diag([1.5, 1.5, 3, 1])), path)
    return path


@pytest.fixture(scope="module")
def small_models(tiny_source, tmp_path_factory) -> Path:
    """One layer, which is evaluated soon."""
    out = tmp_path_factory.mktemp("models") / "small"
    chen = {"architecture": "chen", "layers": ["5"], "patch_size": 17, "steps": 6, "batch_size": 4}
    cti.train(tiny.config(denoisers={"chen": chen}), tiny_source, out, on_event=lambda event: None)
    return out


@pytest.fixture(scope="module")
def commands(scan, tiny_source, tiny_models, small_models) -> dict[str, tuple[object, ...]]:
    models = ("--models", tiny_models)
    partner = ("--full-dose", tiny.series(tiny_source, "full"))
    chen = ("--denoiser", "chen", "--layer", 5, "-n", 4)
    return {
        "simulate": ("simulate", scan, "--dose", 1),
        "denoise": ("denoise", scan, *models, "--denoiser", "identity"),
        "sample": ("sample", tiny.series(tiny_source), *partner, *models, *chen),
        "phantom": ("phantom", "--patients", 2, "--slices", 1, "--size", 64, "--pixel-mm", 6),
        "evaluate": ("evaluate", "--models", small_models, "--data", tiny_source),
    }


@pytest.fixture
def unchanged(scan, tiny_source, tiny_models, small_models) -> Iterator[None]:
    """What is read stays as it is."""
    places = scan, tiny_source, tiny_models, small_models
    before = hashes(*places)
    yield
    assert hashes(*places) == before


def kill_often(
    killer: Killer,
    arguments: tuple[object, ...],
    before: Callable[[int], object],
    after: Callable[[], object],
) -> None:
    """Kill a command so often as is asked for; `before` makes what each finds, `after` looks at what each leaves."""
    before(0)
    killer.run(arguments)  # loads what is still to be loaded
    before(0)
    whole = killer.run(arguments)
    assert whole.code == 0
    count = 0
    while count < KILLS:
        before(count)
        count += killer.kill(arguments, whole) is None
        after()


def make_old(folder: Path) -> None:
    """As if what was left were left yesterday: younger it may be somebody's who still writes."""
    old = time.time() - 24 * 3600
    for path in remains(folder):
        os.utime(path, (old, old))


def require_whole(command: str, out: Path) -> None:
    """Whatever is there under a name that people see."""
    if command == "sample":
        if out.exists():
            assert {path.name for path in out.iterdir()} == SAMPLES
            assert json.loads((out / "table.json").read_text())["n"] == 4
            assert cti.read_volume(out / "mean.nrrd").shape == (1, 32, 32)
    elif command == "evaluate":
        if out.exists():
            assert {path.name for path in out.iterdir()} == REPORT
            assert json.loads((out / "report.json").read_text())["tables"]["denoising"]
            assert (out / "report.html").read_text().endswith("</html>")
    elif command == "phantom":
        for study in (out / "dicom").glob("*/*/[!.]*"):
            series = [each for each in study.iterdir() if not each.name.startswith(".")]
            assert len(series) == 2
            for each in series:
                assert cti.read_volume(each).shape == (1, 64, 64)
            assert cti.read_volume(out / "truth" / f"{study.parent.name}.nrrd").shape == (1, 64, 64)
    elif out.exists():
        assert cti.read_volume(out).shape == (20, 200, 200)


@forks
@pytest.mark.parametrize("command", ["simulate", "denoise", "sample", "phantom", "evaluate"])
def test_a_result_is_whole_or_not_there(killer, commands, tmp_path, unchanged, command):
    """Where there was none, and where an older one is replaced."""
    out = tmp_path / "results" / ("out.nii.gz" if command in ("simulate", "denoise") else "out")
    arguments = (*commands[command], "--out", out, "--overwrite")

    def before(count):
        if count % 2 == 0:
            shutil.rmtree(tmp_path / "results", ignore_errors=True)
        elif not out.exists():
            assert killer.run(arguments).code == 0

    kill_often(killer, arguments, before, lambda: require_whole(command, out))
    make_old(tmp_path)
    assert killer.run(arguments).code == 0
    require_whole(command, out)
    assert out.exists()
    assert not list(tmp_path.rglob(".*")), "who comes next sweeps"


@forks
@pytest.mark.parametrize("action", ["build", "delete"])
def test_an_entry_of_the_store_is_whole_or_not_there(killer, tiny_source, tmp_path, unchanged, action):
    """What is left blocks nobody, and goes with the next change."""
    store, pairs = Store(tmp_path / "store"), cti.find_pairs(tiny_source)
    build, delete = (
        ("store", "build", tiny_source, "--store", store.folder),
        ("store", "delete", "--all", "--store", store.folder),
    )
    expected = {each.series_uid: each.read().hu for pair in pairs for each in (pair.full_dose, pair.low_dose)}

    def before(count):
        if action == "build":
            if store.entries():
                assert killer.run(delete).code == 0
        else:
            assert killer.run(build).code == 0

    def after():
        for entry in store.entries():
            assert np.array_equal(entry.hu, expected[entry.series_uid])
        assert killer.run(build).code == 0
        assert {entry.series_uid for entry in store.entries()} == set(expected)
        if action == "build":
            assert killer.run(delete).code == 0
            assert store.entries() == []
        names = {each.folder.name for each in store.entries()} | {".locks"}
        assert {each.name for each in store.folder.iterdir()} <= names, "what a killed one has left is swept"

    kill_often(killer, build if action == "build" else delete, before, after)


@forks
def test_the_index_of_headers_stays_valid(tmp_path, monkeypatch, capsys):
    """Scans of what nobody knows yet, and of what is known by halves."""
    source, cache = tmp_path / "source", tmp_path / "cache"
    for number in range(6):
        write_series(
            source / f"p{number}", np.zeros((10, 16, 16), np.int16), PatientID=f"p{number}",
            SeriesInstanceUID=f"1.{number}", SeriesDescription="full dose", BodyPartExamined="CHEST",
            PixelSpacing=[0.7, 0.7],
        )  # fmt: skip
    monkeypatch.setenv("CTINVARIANCE_CACHE", str(cache))
    arguments = ["pairs", str(source), "--json"]
    assert main(arguments) == 0
    expected, files = json.loads(capsys.readouterr().out), hashes(source)
    killer = Killer(PREPARED)  # with a cache of its own

    def before(count):
        if count % 2 == 0:
            shutil.rmtree(cache, ignore_errors=True)
        else:
            with closing(sqlite3.connect(cache / "headers.sqlite")) as rows, rows:
                rows.execute("DELETE FROM files WHERE name >= '1-006.dcm' OR folder LIKE '%p3'")

    def after():
        assert hashes(source) == files
        for fresh in (None, 0):
            assert main(arguments) == 0
            said = json.loads(capsys.readouterr().out)
            assert said["files_read"] == fresh or fresh is None
            assert {**said, "files_read": 60} == expected
        with closing(sqlite3.connect(cache / "headers.sqlite")) as rows:
            assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert rows.execute("SELECT count(*) FROM files").fetchone() == (60,)
        assert [each.name for each in cache.iterdir()] == ["headers.sqlite"], "no journal is left"

    try:
        kill_often(killer, arguments, before, after)
    finally:
        killer.close()
    print(f"killed: {dict(killer.killed)}")


@forks
def test_a_training_goes_on_to_the_same_weights(killer, tiny_source, tiny_models, tmp_path, unchanged):
    """Every part and every checkpoint is whole whenever it is there."""
    config, out = tmp_path / "config.json", tmp_path / "run"
    config.write_text(json.dumps(tiny.config().to_dict()))
    arguments = ("train", "--config", config, "--data", tiny_source, "--out", out, "--resume")
    whole: Run = killer.run(arguments)
    expected, files = _weights(out), _names(out)
    assert expected.keys() == _weights(tiny_models).keys()
    shutil.rmtree(out)
    whole = killer.run(arguments)
    begun, count = Run(whole.code, whole.seconds / 2, whole.changes // 2), 0  # some go on from a late one

    def require_same():
        found = _weights(out)
        assert found.keys() == expected.keys()
        for file, tensors in found.items():
            assert all(torch.equal(tensors[name], expected[file][name]) for name in tensors), file
        assert _names(out) == files
        assert [each.name for each in out.rglob(".*")] == [".lock"], "what a killed one has left is swept"
        cti.Models.load(out)

    require_same()
    shutil.rmtree(out)
    while count < KILLS:
        ended = killer.kill(arguments, begun)
        count += ended is None
        _weights(out)
        if (out / "models.json").exists():
            json.loads((out / "models.json").read_text())
        if (out / "log.jsonl").exists():
            [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        if ended:
            assert ended.code == 0
            require_same()
            shutil.rmtree(out)
    assert killer.run(arguments).code == 0
    require_same()


def _names(folder: Path) -> set[str]:
    """Of all files but the curves, of which every start adds one."""
    names = {path.relative_to(folder).as_posix() for path in files_under(folder)}
    return {name for name in names if "tfevents" not in name}


def _weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """All parts and checkpoints; each has the digest that it was saved with."""
    files = [path for path in folder.rglob("*.safetensors") if not path.name.startswith(".")]
    return {str(path.relative_to(folder)): load_tensors(path)[0] for path in files}


# Over and over, so that it can be ended at any moment; the first time in a folder of its own, to load everything.
_COMMAND = """
import sys
from pathlib import Path
from CTInvarianceLib.app import main
*arguments, out = sys.argv[1:]
first = Path(out).with_name("first-" + Path(out).name)
assert main([*arguments, "--out", str(first), "--overwrite"]) == 0
print("ready", flush=True)
while main([*arguments, "--out", out, "--overwrite"]) == 0:
    pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM as POSIX has it")
@pytest.mark.parametrize("command", ["denoise", "sample"])
def test_a_polite_end_leaves_nothing_behind(commands, tmp_path, command):
    out = tmp_path / ("out.nii.gz" if command == "denoise" else "out")
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *map(str, (*commands[command], out))],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout
        while "ready" not in (line := process.stdout.readline()):
            assert line, "the command failed"
        time.sleep(0.4)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    require_whole(command, out)
    assert not list(tmp_path.rglob(".*"))
    assert files_under(tmp_path)
