"""`evaluate` and `sample` over a collection: shared by several processes, the same as from one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import ranks
import tiny

import CTInvarianceLib as cti
from CTInvarianceLib.app import main
from CTInvarianceLib.files import write_volume
from CTInvarianceLib.phantoms import phantom_source, write_phantoms
from CTInvarianceLib.report import unseen as reading
from CTInvarianceLib.tensors import Processes


def run(capsys, *arguments, code=0):
    assert main([str(each) for each in arguments]) == code
    return capsys.readouterr()


def sampling(source, models, out, *more):
    return [
        "sample", "--data", source, "--models", models, "--denoiser", "chen", "--layer", 5, "-n", 3, "--slice", 0,
        "--size", 24, "--out", out, *more,
    ]  # fmt: skip


def same(ours, theirs, where=""):
    """Alike to a millionth, in every number of two JSON values."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for name, value in theirs.items():
            same(ours[name], value, f"{where}/{name}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), where
        for number, value in enumerate(theirs):
            same(ours[number], value, f"{where}/{number}")
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6), where
    else:
        assert ours == theirs, where


@pytest.fixture
def sampled(tiny_source, tiny_complete_models, tmp_path, capsys):
    """All patients, by one process."""
    out = tmp_path / "alone"
    told = run(capsys, *sampling(tiny_source, tiny_complete_models, out))
    assert "3 of 3 series sampled" in told.out
    return out


def test_every_patient_and_slice_gets_what_it_would_get_alone(
    sampled, tiny_source, tiny_complete_models, tmp_path, capsys
):
    for pair in cti.find_pairs(tiny_source):
        out = tmp_path / pair.patient_id
        low, full = (each.files[0].parent for each in (pair.low_dose, pair.full_dose))
        run(
            capsys, "sample", low, "--full-dose", full, "--models", tiny_complete_models, "--denoiser", "chen",
            "--layer", 5, "-n", 3, "--slice", 0, "--size", 24, "--out", out,
        )  # fmt: skip
        ours, theirs = (
            cti.read_volume(folder / "mean.nrrd") for folder in (sampled / pair.patient_id / "slice-000", out)
        )
        np.testing.assert_allclose(ours.hu, theirs.hu, atol=1e-4)
        np.testing.assert_allclose(ours.affine, theirs.affine)


def test_several_slices_have_a_folder_and_a_seed_each(tiny_source, tiny_complete_models, tmp_path, capsys):
    write_phantoms(tmp_path / "deep", patients=1, slices=3, size=64, pixel_mm=6.0)
    source = phantom_source(tmp_path / "deep")
    arguments = sampling(source, tiny_complete_models, tmp_path / "out", "--slices", 2, "--seed", 7)
    arguments[arguments.index("--slice") + 1] = 1
    run(capsys, *arguments)
    (patient,) = (tmp_path / "out").iterdir()
    assert sorted(each.name for each in patient.iterdir()) == ["slice-001", "slice-002"]
    tables = [json.loads((each / "table.json").read_text()) for each in sorted(patient.iterdir())]
    assert [(each["slice"], each["seed"]) for each in tables] == [(1, 7), (2, 8)]


def test_what_is_there_is_kept_and_another_question_is_refused(
    sampled, tiny_source, tiny_complete_models, capsys
):
    shutil.rmtree(sampled / "P001-chest")
    before = {p: p.stat().st_mtime_ns for p in sampled.rglob("*") if p.is_file()}
    told = run(capsys, *sampling(tiny_source, tiny_complete_models, sampled))
    assert told.out.count("is there already, and is kept") == 2
    assert (sampled / "P001-chest/slice-000/table.json").is_file()
    told = run(capsys, *sampling(tiny_source, tiny_complete_models, sampled, "--seed", 1), code=2)
    assert told.err.count("is left out: the folder holds a result already") == 3
    assert {p: p.stat().st_mtime_ns for p in before} == before
    told = run(capsys, *sampling(tiny_source, tiny_complete_models, sampled, "--seed", 1, "--overwrite"))
    assert json.loads((sampled / "P001-chest/slice-000/table.json").read_text())["seed"] == 1


def test_a_patient_that_cannot_be_sampled_is_named_and_the_others_are(
    tiny_source, tiny_complete_models, tmp_path, capsys
):
    source = tmp_path / "source"
    shutil.copytree(tiny_source, source)
    small = cti.read_volume(tiny.series(tiny_source, "full"))
    write_volume(small.crop(slice(0, 1), slice(0, 16), slice(0, 16)), source / "tiny" / "small.nrrd")
    told = run(capsys, *sampling(source, tiny_complete_models, tmp_path / "out"), code=2)
    assert "small is left out: slices of 16×16 pixels are smaller than the patch" in told.err
    assert "3 of 4 series sampled" in told.out


def test_without_low_dose_it_is_simulated(ct_small, tiny_complete_models, tmp_path, capsys):
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(ct_small, source)
    run(capsys, *sampling(source, tiny_complete_models, tmp_path / "out"))
    (table,) = (tmp_path / "out").rglob("table.json")
    assert json.loads(table.read_text())["low_dose"] == "simulated"


def test_one_of_a_volume_and_a_source(tiny_source, tiny_complete_models, tmp_path, capsys):
    arguments = sampling(tiny_source, tiny_complete_models, tmp_path / "out")
    assert "one of VOLUME and --data" in run(capsys, *arguments, tiny.series(tiny_source), code=2).err
    neither = [each for each in arguments if each not in ("--data", tiny_source)]
    assert "one of VOLUME and --data" in run(capsys, *neither, code=2).err
    partner = run(capsys, *arguments, "--full-dose", tiny.series(tiny_source, "full"), code=2).err
    assert "partner of one volume" in partner
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_sample_what_one_would(sampled, tiny_source, tiny_complete_models, tmp_path):
    out = tmp_path / "two"
    arguments = sampling(tiny_source, tiny_complete_models, out)
    ended = ranks.finish(ranks.start(["-m", "CTInvarianceLib", *map(str, arguments)]))
    assert [code for code, *_ in ended] == [0, 0], ended
    assert "3 of 3 series sampled" in ended[0][1]
    assert not ended[1][1]
    files = {p.relative_to(out) for p in out.rglob("*") if p.is_file()}
    assert files == {p.relative_to(sampled) for p in sampled.rglob("*") if p.is_file()}
    for file in files:
        if file.name == "table.json":
            same(json.loads((out / file).read_text()), json.loads((sampled / file).read_text()))
        elif file.name == "mean.nrrd":
            ours, theirs = (cti.read_volume(each / file).hu for each in (out, sampled))
            np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.slow
def test_two_evaluate_what_one_would(tiny_source, tiny_spatial_models, tmp_path, capsys):
    arguments = [
        "evaluate",
        "--models",
        tiny_spatial_models,
        "--data",
        unseen(tiny_source, tmp_path),
        "--patches",
        1,
    ]
    run(capsys, *arguments, "--out", tmp_path / "alone")
    started = ranks.start(["-m", "CTInvarianceLib", *map(str, arguments), "--out", str(tmp_path / "two")])
    ended = ranks.finish(started)
    assert [code for code, *_ in ended] == [0, 0], ended
    assert not ended[1][1]
    alone, two = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("alone", "two"))
    assert len(alone["tables"]["layers"]) == 8
    same(two, alone)


def unseen(source, tmp_path):
    """The patients of the models, and two more."""
    write_phantoms(tmp_path / "others", patients=5, slices=1, size=64, pixel_mm=6.0)
    return phantom_source(tmp_path / "others")


def test_a_process_reads_its_share_of_the_patients_only(
    tiny_source, tiny_spatial_models, tmp_path, monkeypatch
):
    pairs = cti.find_pairs(unseen(tiny_source, tmp_path))
    read, models = [], cti.Models.load(tiny_spatial_models)
    said, both = {}, threading.Barrier(2)

    def load(pairs, *arguments, plain=reading.load_patients, **options):
        read.append(tuple(pair.patient_id for pair in pairs))
        return plain(pairs, *arguments, **options)

    def gather(self, own):
        said[self.rank] = own
        both.wait(60)
        found = [said[0], said[1]]
        both.wait(60)
        return found

    def draw(own):
        return reading.draw_unseen(
            models, pairs, own, trusted=2, seed=0, store=None, progress=lambda fraction: None
        )

    monkeypatch.setattr(reading, "load_patients", load)
    with monkeypatch.context() as patch, ThreadPoolExecutor(2) as threads:
        patch.setattr(Processes, "gather", gather)
        drawn = list(threads.map(draw, [Processes(0, 2), Processes(1, 2)]))
    known = {pair.patient_id for pair in cti.find_pairs(tiny_source)}
    names = sorted({pair.patient_id for pair in pairs} - known)
    assert len(names) == 2
    assert sorted(read) == [(names[0],), (names[1],)]
    alone = draw(Processes())
    for each in drawn:
        assert (each.low == alone.low).all()
        assert (each.full == alone.full).all()


@pytest.mark.slow
def test_a_killed_process_ends_the_sampling_of_the_other_which_says_so(
    tiny_source, tiny_complete_models, tmp_path
):
    """One that has done its share waits for the other; what it has written stays."""
    arguments = sampling(tiny_source, tiny_complete_models, tmp_path / "out", "-n", 20000)
    started = ranks.start(["-m", "CTInvarianceLib", *map(str, arguments)])
    time.sleep(15)
    assert all(each.poll() is None for each in started), ranks.finish(started)
    started[1].send_signal(signal.SIGKILL)
    since = time.monotonic()
    (code, _, told), _ = ranks.finish(started, 150)
    assert time.monotonic() - since < 150
    assert code == 2, told
    assert "error: process 1 of 2 (counted from 0) is gone" in told


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_batch_file_starts_what_it_says(tmp_path):
    """SLURM's commands and the training are stood in for: none is at hand."""
    batch = Path(__file__).parents[3] / "Resources" / "slurm" / "train.sbatch"
    for name, body in {
        "scontrol": 'test "$1 $2 $3" = "show hostnames gpu[3-4]" && printf "gpu3\\ngpu4\\n"',
        "srun": 'test "$1" = --kill-on-bad-exit=1 && shift && SLURM_STEP_NUM_TASKS=8 SLURM_PROCID=5 exec "$@"',
        "mypython": 'echo "$MASTER_ADDR $MASTER_PORT $OMP_NUM_THREADS $SLURM_PROCID: $*"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    told = subprocess.run(
        ["bash", batch, "slides", "/data/of many", "/runs/slides"],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "CTINVARIANCE_PYTHON": "mypython",
            "SLURM_CPUS_PER_TASK": "8",
            "SLURM_JOB_NODELIST": "gpu[3-4]",
            "SLURM_JOB_ID": "1204567",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    place, words = told.stdout.strip().split(": ")
    assert place == "gpu3 19567 8 5"
    assert words == (
        "-m CTInvarianceLib train --preset slides --data /data/of many --out /runs/slides "
        "--store /runs/slides.store --resume"
    )
