"""Commands that are killed at random moments leave whole results or none, and what is left is swept."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny

import CTInvarianceLib as cti
from CTInvarianceLib.app import main
from CTInvarianceLib.base import files_under

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL"),
    pytest.mark.filterwarnings("ignore::CTInvarianceLib.base.HounsfieldWarning"),
]
KILLS = 5
SAMPLES = {"mean.nrrd", "montage.png", "samples.seq.nrrd", "std.nrrd", "table.json"}

# Over and over, so that it can be killed at any moment; the first time in a folder of its own, to load everything.
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


@pytest.fixture(scope="module")
def moments() -> Iterator[random.Random]:
    """Another seed tries others."""
    seed = int(os.environ.get("CTINVARIANCE_SEED", "0"))
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def commands(tiny_source, tiny_models, tmp_path_factory) -> dict[str, tuple[object, ...]]:
    hu = np.random.default_rng(0).normal(40, 20, (20, 200, 200)).astype(np.int16)
    scan = tmp_path_factory.mktemp("scan") / "scan.nrrd"
    cti.write_volume(cti.CTVolume(hu, np.diag([1.5, 1.5, 3, 1])), scan)
    models = ("--models", tiny_models, "--denoiser")
    partner = ("--full-dose", tiny.series(tiny_source, "full"))
    return {
        "simulate": ("simulate", scan, "--dose", 1),
        "denoise": ("denoise", scan, *models, "identity"),
        "sample": ("sample", tiny.series(tiny_source), *partner, *models, "chen", "--layer", 5, "-n", 4),
        "phantom": ("phantom", "--patients", 2, "--slices", 3, "--size", 64, "--pixel-mm", 6),
    }


def killed(arguments: tuple[object, ...], out: Path, after: float, number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *map(str, (*arguments, out))],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        while "ready" not in (line := process.stdout.readline()):
            assert line, "the command failed"
        time.sleep(after)
        assert process.poll() is None, "it ended by itself"
        process.send_signal(number)
        process.stdout.read()


def require_whole(command: str, out: Path) -> None:
    """Whatever is there under a name that people see."""
    if command == "sample":
        if out.exists():
            assert {path.name for path in out.iterdir()} == SAMPLES
            assert json.loads((out / "table.json").read_text())["n"] == 4
            assert cti.read_volume(out / "mean.nrrd").shape == (1, 32, 32)
    elif command == "phantom":
        for study in (out / "dicom").glob("*/*/[!.]*"):
            series = [each for each in study.iterdir() if not each.name.startswith(".")]
            assert len(series) == 2
            for each in series:
                assert cti.read_volume(each).shape == (3, 64, 64)
            assert cti.read_volume(out / "truth" / f"{study.parent.name}.nrrd").shape == (3, 64, 64)
    elif out.exists():
        assert cti.read_volume(out).shape == (20, 200, 200)


@pytest.mark.parametrize("command", ["simulate", "denoise", "sample", "phantom"])
def test_kills_at_random_moments(commands, moments, tmp_path, command):
    arguments = commands[command]
    out = tmp_path / "results" / ("out.nii.gz" if command in ("simulate", "denoise") else "out")
    for _ in range(KILLS):
        killed(arguments, out, moments.uniform(0, 1.5), signal.SIGKILL)
        require_whole(command, out)
    left = [path for path in tmp_path.rglob(".ctinvariance-*")]
    old = time.time() - 2 * 3600
    for path in left:
        os.utime(path, (old, old))
    assert main([str(each) for each in (*arguments, "--out", out, "--overwrite")]) == 0
    require_whole(command, out)
    assert out.exists()
    assert not list(tmp_path.rglob(".*")), "who comes next sweeps"


@pytest.mark.parametrize("command", ["denoise", "sample"])
def test_a_polite_end_leaves_nothing_behind(commands, moments, tmp_path, command):
    out = tmp_path / ("out.nii.gz" if command == "denoise" else "out")
    killed(commands[command], out, moments.uniform(0, 1), signal.SIGTERM)
    require_whole(command, out)
    assert not list(tmp_path.rglob(".*"))
    assert files_under(tmp_path)
