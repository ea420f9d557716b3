"""The command line as its users meet it: files out, one line of error, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import dicom_files
import numpy as np
import pytest
import tiny
import torch

import CTInvarianceLib as cti
from CTInvarianceLib.app import main
from CTInvarianceLib.models import load_tensors
from CTInvarianceLib.volumes import Region


@pytest.fixture
def run(capsys):
    """Run a command that must succeed; its standard output, and error output."""

    def run(*arguments):
        assert main([str(a) for a in arguments]) == 0
        return capsys.readouterr()

    return run


@pytest.fixture
def fails(capsys):
    """Run a command that must fail: exit code 2, one line of error, behind progress and what a training will cost."""

    def check(*arguments):
        with pytest.raises(SystemExit) if "--unknown" in arguments else nullcontext():
            assert main([str(a) for a in arguments]) == 2
        *progress, error = capsys.readouterr().err.splitlines()
        assert error.startswith("error: ")
        assert all("%" in line or "on two CPU cores" in line for line in progress), progress
        return error

    return check


def test_sample_writes_everything_at_its_place(tiny_models, tiny_source, tmp_path):
    volume, partner = (cti.read_volume(tiny.series(tiny_source, dose)) for dose in ("low", "full"))
    out = tmp_path / "proben ä"
    arguments = (
        "sample", tiny.series(tiny_source), "--full-dose", tiny.series(tiny_source, "full"), "--models", tiny_models,
        "--denoiser", "chen", "--layer", 5, "--slice", 0, "--center", 30, 25, "-n", 12, "--seed", 4,
        "--tolerance", 0.7, "--out", out,
    )  # fmt: skip
    result = subprocess.run(  # as a shell would
        [sys.executable, "-m", "CTInvarianceLib", *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "12 samples in" in result.stdout
    assert "at a tolerance of 0.7 rescans" in result.stdout
    assert "the noise is known from the partner" in result.stdout
    assert sorted(p.name for p in out.iterdir()) == [
        "mean.nrrd",
        "montage.png",
        "samples.seq.nrrd",
        "std.nrrd",
        "table.json",
    ]
    patch, full = (seen.hu[0, 14:46, 9:41] for seen in (volume, partner))
    expected = cti.Models.load(tiny_models).sample(
        patch, "chen", "5", n=12, seed=4, tolerance=0.7, full_dose_hu=full
    )
    mean = cti.read_volume(out / "mean.nrrd")
    np.testing.assert_allclose(mean.hu[0], expected.mean, atol=0.05)
    np.testing.assert_allclose(mean.position(0, 0, 0), volume.position(9, 14, 0), atol=1e-6)
    table = json.loads((out / "table.json").read_text())
    assert (table["n"], table["seed"], table["layer"], table["center"]) == (12, 4, "5", [30, 25])
    assert table["region"] == {"slices": [0, 1], "rows": [14, 46], "columns": [9, 41]}
    assert table["embedding"] == "vector"
    assert table["consistency"]["mean"] == pytest.approx(expected.consistency.mean(), abs=1e-3)
    assert len(table["consistency"]["of_every_sample"]) == 12
    assert table["full_dose"] == str(tiny.series(tiny_source, "full"))
    found = table["invariance"]
    assert (found["tolerance"], found["noise_from"]) == (0.7, "partner")
    for name, value in {
        "tolerance_hu": expected.tolerance_hu,
        "epsilon": expected.epsilon,
        "noise_hu": expected.noise_hu,
        "spread": expected.spread,
        "proposed_spread": expected.proposed_spread,
        "proposed_misfit": expected.proposed_misfit.mean(),
        "moved_mean": expected.moved.mean(),
        "misfit_max": expected.misfit.max(),
        "change_rms": np.sqrt(np.square(expected.output_change).mean()),
        "passes": expected.passes,
        "visibility": expected.visibility,
        "arrives": expected.evidence.arrives,
    }.items():
        assert found[name] == pytest.approx(value, rel=1e-3), name
    assert (out / "montage.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "region"),
    [
        (("--center", 30, 25), Region(14, 9, 32, 32)),
        (("--size", 20), Region(22, 22, 20, 20)),
        (("--size", 18, 41, "--center", 9, 43), Region(0, 23, 18, 41)),
        (("--whole",), Region(0, 0, 64, 64)),
        (("--whole", "--tile", 16), Region(0, 0, 64, 64)),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
@pytest.mark.filterwarnings("ignore::CTInvarianceLib.base.HounsfieldWarning")  # a spread is none
@pytest.mark.parametrize("kind", ["spatial", "complete"])
def test_grids_are_sampled_in_any_region_and_see_what_surrounds_it(
    kind, tiny_source, tmp_path, options, region, capsys, request
):
    models = request.getfixturevalue(f"tiny_{kind}_models")
    path, partner = (tiny.series(tiny_source, dose) for dose in ("low", "full"))
    volume = cti.read_volume(path)
    arguments = (
        "--models", models, "--denoiser", "chen", "--layer", 1, "-n", 3, "--full-dose", partner, "--out", tmp_path
    )  # fmt: skip
    assert main([str(a) for a in ("sample", path, *arguments, *options)]) == 0
    assert "3 samples in" in capsys.readouterr().out
    full = cti.read_volume(partner).hu[0]
    expected = cti.Models.load(models).sample(
        volume.hu[0], "chen", "1", n=3, region=region, full_dose_hu=full
    )
    mean, std = (cti.read_volume(tmp_path / name) for name in ("mean.nrrd", "std.nrrd"))
    assert mean.shape == std.shape == (1, region.height, region.width)
    np.testing.assert_allclose(mean.hu[0], expected.mean, atol=0.05)
    np.testing.assert_allclose(std.hu[0], expected.std, atol=0.05)
    np.testing.assert_allclose(mean.position(0, 0, 0), volume.position(region.left, region.top, 0), atol=1e-6)
    table = json.loads((tmp_path / "table.json").read_text())
    rows, columns = (
        [region.top, region.top + region.height],
        [region.left, region.left + region.width],
    )
    assert table["region"] == {"slices": [0, 1], "rows": rows, "columns": columns}
    assert table["embedding"] == kind
    np.testing.assert_allclose(table["consistency"]["of_every_sample"], expected.consistency, atol=1e-3)
    assert table["invariance"]["misfit_max"] <= 1.1


def test_a_layer_is_sampled_without_its_flow(tiny_complete_models, tiny_source, tmp_path, capsys):
    """Also where it has none; low dose only."""
    models = tmp_path / "models"
    shutil.copytree(tiny_complete_models, models)
    shutil.rmtree(models / "flows")
    path, out = tiny.series(tiny_source), tmp_path / "out"
    arguments = [
        "sample",
        path,
        "--models",
        models,
        "--denoiser",
        "chen",
        "--layer",
        5,
        "-n",
        4,
        "--out",
        out,
    ]
    assert main([str(a) for a in arguments]) == 2
    assert "is not trained yet" in capsys.readouterr().err
    assert not out.exists()
    assert main([str(a) for a in (*arguments, "--without-flow")]) == 0
    assert "Drawn without a flow, they lay" in capsys.readouterr().out
    found = json.loads((out / "table.json").read_text())
    assert found["flow"] is False
    assert found["invariance"]["misfit_max"] <= 1.1
    assert main([str(a) for a in (*arguments, "--without-flow", "--domain", "full", "--overwrite")]) == 2
    assert "need a flow" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tolerance", 3), "a tolerance of 3 rescans is outside of what the flow was trained for. Ask for 0.1 to 2"),
        (("--tolerance", 0), "a tolerance of 0 rescans"),
        (("--full-dose", "other.nrrd"), "the full-dose volume lies on another grid than the low-dose one: "),
        (("--full-dose", "moved.nrrd"), "Give the full-dose reconstruction of the same slices."),
        (("--full-dose", "none.nrrd"), "no such file"),
    ],
)  # fmt: skip
def test_tolerances_and_partners_that_do_not_fit(
    fails, tiny_complete_models, tiny_source, tmp_path, options, message
):
    path, partner = (tiny.series(tiny_source, dose) for dose in ("low", "full"))
    full = cti.read_volume(partner)
    cti.write_volume(cti.CTVolume(full.hu[:, 1:], full.affine), tmp_path / "other.nrrd")
    moved = full.affine.copy()
    moved[0, 3] += 1
    cti.write_volume(cti.CTVolume(full.hu, moved), tmp_path / "moved.nrrd")
    name, value = options
    given = (name, tmp_path / value) if name == "--full-dose" else (*options, "--full-dose", partner)
    where = ("--models", tiny_complete_models, "--denoiser", "chen", "--layer", 5, "--out", tmp_path / "out")
    assert message in fails("sample", path, *where, *given)
    assert not (tmp_path / "out").exists()


def test_a_volume_whose_noise_no_simulation_explains_is_sampled_all_the_same(
    run, tiny_complete_models, tiny_source, tmp_path
):
    """Pixels of 6 mm."""
    where = ("--models", tiny_complete_models, "--denoiser", "chen", "--layer", 5, "-n", 2, "--out", tmp_path)
    stdout, _ = run("sample", tiny.series(tiny_source), *where)
    assert "the noise is known from the image" in stdout


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
def test_identity_changes_nothing_through_files(run, tiny_models, tmp_path, suffix):
    hu = np.random.default_rng(0).integers(-1024, 3071, (3, 40, 48)).astype(np.int16)
    dicom_files.write_series(tmp_path / "ct", hu)
    out = tmp_path / f"same{suffix}"
    run("denoise", tmp_path / "ct", "--models", tiny_models, "--denoiser", "identity", "--out", out)
    result = cti.read_volume(out)
    assert np.abs(result.hu - hu).max() < 0.01
    np.testing.assert_allclose(result.affine, cti.read_volume(tmp_path / "ct").affine, atol=1e-4)


@pytest.mark.filterwarnings("default:one patient only")  # the command says so, to people
def test_pairs_phantom_simulate_and_models(run, tiny_models, tmp_path):
    options = ("--patients", 1, "--slices", 1, "--size", 192, "--pixel-mm", 2, "--kind", "chest")
    stdout, stderr = run("phantom", *options, "--out", tmp_path / "p")
    assert "Patients: 1, slices of each: 1" in stdout
    assert f'ctinvariance pairs "{tmp_path / "p" / "dicom"}"' in stdout
    assert "phantoms" in stderr, "progress"
    stdout, stderr = run("pairs", tmp_path / "p" / "dicom", "--json")
    assert "one patient only" in stderr
    (row,) = json.loads(stdout)["pairs"]
    assert row["patient"] == "P001-chest"
    assert row["low_dose_series"] == "Low Dose Images"
    truth = tmp_path / "p" / "truth" / "P001-chest.nrrd"
    _, stderr = run("simulate", truth, "--dose", 0.5, "--out", tmp_path / "low.mha")
    assert "noise in it): the noise has that of a usual soft-tissue kernel" in stderr
    noise = cti.read_volume(tmp_path / "low.mha").hu - cti.read_volume(truth).hu
    assert noise.std() > 1
    stdout, _ = run("models", "list", tiny_models.parent)
    assert "tiny" in stdout
    stdout, _ = run("models", "show", tiny_models)
    assert json.loads(stdout)["format"] == "ctinvariance-models"


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_evaluate_writes_a_report(kind, tiny_source, tmp_path, monkeypatch, request, capsys):
    models = request.getfixturevalue("tiny_models" if kind == "vector" else f"tiny_{kind}_models")
    monkeypatch.setattr("CTInvarianceLib.report.unseen._PATCHES", 6)
    assert (
        main(["evaluate", "--models", str(models), "--data", str(tiny_source), "--out", str(tmp_path)]) == 0
    )
    tables = json.loads((tmp_path / "report.json").read_text())["tables"]
    assert [row["denoiser"] for row in tables["denoising"]] == ["none (low dose)", "chen", "yang", "identity"]
    none, *_, identity = tables["denoising"]
    assert identity["rmse_hu"] == pytest.approx(none["rmse_hu"], rel=1e-5)
    windows = {(row["window_centre_hu"], row["window_width_hu"]) for row in tables["denoising"]}
    assert windows <= {(-250, 1500), (50, 400)}
    assert len(windows) == 1, "all of them are compared in the same"
    assert len(tables["layers"]) == 8
    for row in tables["layers"]:
        assert row["spread_hu"] > 0
        measured = {"proposed_misfit", "moved_hu", "moved_hu_shuffled", "coverage_90"}
        in_full = {"coverage_90"}
        assert {name for name in measured if row[name] is not None} == (
            measured - in_full if row["domain"] == "low" else in_full
        )
        assert row["domain"] == "low" or 0 <= row["coverage_90"] <= 1
    if kind == "complete":
        assert all(row["rmse_hu"] < 0.01 for row in tables["embedding"])
        assert all(row["numbers_per_pixel"] == 1 for row in tables["embedding"])
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Layers</h2>" in page
    assert "SSIM (Gaussian weights of 11×11 pixels, σ = 1.5) of images that are cut to the CT window" in page
    assert "<th>window centre hu</th><th>window width hu</th>" in page
    assert ">0.000<" not in page
    printed = capsys.readouterr().out
    assert "window_width_hu" in printed.replace("\n", "")
    assert " 0.000" not in printed


def test_models_delete_leaves_what_is_not_ours(tiny_source, tmp_path):
    plain = tiny.config(denoisers={"identity": {"architecture": "identity", "loss": "none"}})
    cti.train(plain, tiny_source, tmp_path / "run", on_event=lambda e: None)
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    assert main(["models", "delete", str(tmp_path / "run")]) == 0
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.txt"]
    assert main(["models", "delete", str(tmp_path)]) == 2


def test_interrupted_training_exits_130_keeps_its_work_and_resumes(tiny_source, tmp_path):
    config = tmp_path / "long.json"
    values = tiny.config(
        denoisers={"chen": {"architecture": "chen", "layers": [], "steps": 100000}}
    ).to_dict()
    config.write_text(json.dumps(values))
    arguments = ["train", "--config", config, "--data", tiny_source, "--out", tmp_path / "run"]
    process = subprocess.Popen(
        [sys.executable, "-m", "CTInvarianceLib", *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )
    log = tmp_path / "run" / "log.jsonl"
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and not (log.exists() and '"denoiser chen"' in log.read_text()):
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=600)
    assert process.returncode == 130, error
    assert "cancelled; what was finished is kept" in error
    assert (tmp_path / "run/checkpoints/denoiser-chen.safetensors").is_file()
    assert (tmp_path / "run/embeddings/full.safetensors").is_file()
    assert main([str(a) for a in arguments]) == 2, "without --resume a run is not touched"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vector", "complete"])
def test_two_processes_train_one_run(kind, tiny_models, tiny_source, tmp_path):
    """Flows of the complete embedding: of 27 patches in two pools, and of the same denoiser, to the bit.

    Of denoisers that differ by rounding, an estimate may differ by more: a rectifier is open in one of them alone.
    """
    plain = tiny.config(kind).to_dict()
    files = ["denoisers/chen", "denoisers/yang", "embeddings/full", "flows/chen-5-low", "flows/yang-8-full"]
    if kind == "complete":
        plain["flow"] |= {"patches": 27, "at_once": 14, "validate_every": 2}
        weights = str(tiny_models / "denoisers/chen.safetensors")
        plain["denoisers"] = {"chen": plain["denoisers"]["chen"] | {"weights": weights}}
        files = ["flows/chen-1-low", "flows/chen-1-full", "flows/chen-5-low", "flows/chen-5-full"]
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps(plain))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "CTInvarianceLib",
        "train", "--config", str(config), "--data", str(tiny_source), "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("flows chen") == 1, "one process speaks for both"
    together = cti.Models.load(tmp_path / "run")
    patch = np.zeros((32, 32), np.float32)
    assert together.sample(patch, "chen", "5", n=2).images.shape == (2, 32, 32)
    alone = tiny_models  # of the same configuration and patients
    if kind == "complete":
        alone = tmp_path / "alone"
        cti.train(config, tiny_source, alone, on_event=lambda e: None)
    # The same batches, shared. Where a gradient is nothing but rounding, Adam makes a whole step of it.
    for file in files:
        ours, theirs = (
            load_tensors(folder / f"{file}.safetensors")[0] for folder in (tmp_path / "run", alone)
        )
        apart = [
            (ours[name] - theirs[name]).abs().flatten() / theirs[name].abs().max().clamp_min(1)
            for name in theirs
            if theirs[name].is_floating_point()
        ]
        assert torch.cat(apart or [torch.zeros(1)]).quantile(0.99) < 1e-5, file


def test_bad_input_is_one_line_and_leaves_nothing(fails, tiny_models, tiny_source, tmp_path, ct_small):
    volume, out = tiny.series(tiny_source), tmp_path / "out"
    models = ("--models", tiny_models)
    (tmp_path / "empty").mkdir()
    truncated = tmp_path / "cut.dcm"
    truncated.write_bytes(ct_small.read_bytes()[:20000])
    partner = ("--full-dose", tiny.series(tiny_source, "full"))
    sample = ("sample", volume, *partner, *models, "--denoiser", "chen", "--out", out)
    cases = {
        "empty": (
            "denoise",
            tmp_path / "empty",
            *models,
            "--denoiser",
            "chen",
            "--out",
            out.with_suffix(".nrrd"),
        ),
        "cut.dcm": ("denoise", truncated, *models, "--denoiser", "chen", "--out", out.with_suffix(".nrrd")),
        "no such file": (
            "denoise",
            tmp_path / "none.nrrd",
            *models,
            "--denoiser",
            "chen",
            "--out",
            out.with_suffix(".nrrd"),
        ),
        "no layer of this name": (*sample, "--layer", 2),
        "no flow is trained": (*sample, "--layer", 3),
        "reaches out of the image": (*sample, "--layer", 5, "--center", 3, 30),
        "there are slices 0 to 0": (*sample, "--layer", 5, "--slice", 7),
        "there are slices 0 to 0: slices 0 to 1": (*sample, "--layer", 5, "--slice", 0, "--slices", 2),
        "0 slices cannot be sampled": (*sample, "--layer", 5, "--slices", 0),
        "shape (16, 16), these models were trained on 32×32 pixels. Choose a patch of that size": (
            *sample,
            "--layer",
            5,
            "--size",
            16,
        ),
        "shape (64, 64), these models were trained on 32×32 pixels": (*sample, "--layer", 5, "--whole"),
        "cannot be worked off in tiles": (*sample, "--layer", 5, "--tile", 16),
        "this is no model set": (
            "denoise",
            volume,
            "--models",
            tmp_path,
            "--denoiser",
            "chen",
            "--out",
            out.with_suffix(".nrrd"),
        ),
        "not a format to write": (
            "denoise",
            volume,
            *models,
            "--denoiser",
            "chen",
            "--out",
            tmp_path / "x.png",
        ),
        "The dose is not a fraction": ("simulate", volume, "--dose", 3, "--out", tmp_path / "x.nrrd"),
        "say what to train": ("train", "--data", tiny_source, "--out", out),
        "smaller than a patch": ("train", "--preset", "quick", "--data", tiny_source, "--out", out),
        "VGG19": ("train", "--preset", "slides", "--data", tiny_source, "--out", out),
        "there are no model sets": ("models", "list", tmp_path / "empty"),
        "--help": ("sample", "--unknown"),
    }
    before = sorted(tmp_path.rglob("*"))
    for message, arguments in cases.items():
        assert message in fails(*arguments), message
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--center", 3, 30),
            "reaches out of the image: slice 0, row 3, column 30. Choose a row from 16 to 48",
        ),
        (("--size", 40, 10, "--center", 30, 60), "Choose a row from 20 to 44 and a column from 5 to 59"),
        (("--size", 65), "smaller than the patch of 65×65"),
        (("--size", 0), "0×0 pixels is empty"),
        (("--size", 1, 2, 3), "--size has 3 numbers. Give PIXELS, or ROWS COLUMNS"),
        (("--whole", "--size", 9), "--whole is the whole slice"),
        (("--whole", "--center", 9, 9), "--whole is the whole slice"),
        (("--tile", 0), "tiles of 0 pixels"),
        (("--slice", -1), "there are slices 0 to 0: slice -1"),
    ],
)
def test_regions_that_cannot_be_sampled(fails, tiny_spatial_models, tiny_source, tmp_path, options, message):
    volume = tiny.series(tiny_source)
    partner = ("--full-dose", tiny.series(tiny_source, "full"))
    where = ("--models", tiny_spatial_models, "--denoiser", "chen", "--layer", 5, "--out", tmp_path / "out")
    assert message in fails("sample", volume, *partner, *where, *options)
    assert not (tmp_path / "out").exists()


def test_a_volume_smaller_than_a_patch_and_nan(fails, tiny_models, tmp_path):
    small = cti.CTVolume(np.zeros((1, 20, 20), np.int16), np.eye(4))
    cti.write_volume(small, tmp_path / "small.nrrd")
    arguments = ("--models", tiny_models, "--denoiser", "chen", "--layer", 5, "--out", tmp_path / "out")
    assert "smaller than the patch" in fails("sample", tmp_path / "small.nrrd", *arguments)
    import SimpleITK as sitk

    values = np.zeros((2, 64, 64), np.float32)
    values[1, 2, 3] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "nan.nrrd"))
    assert "1 values are NaN" in fails("sample", tmp_path / "nan.nrrd", *arguments)
    assert not Path(tmp_path / "out").exists()


def test_magnetic_resonance_and_colour_are_named(fails, tiny_models, tmp_path):
    from pydicom.data import get_testdata_file

    arguments = ("--models", tiny_models, "--denoiser", "chen", "--out", tmp_path / "out.nrrd")
    assert "MR" in fails("denoise", str(get_testdata_file("MR_small.dcm")), *arguments)
    colour = dicom_files.write_slice(tmp_path / "rgb.dcm", np.zeros((40, 40, 3), np.uint8))
    assert "colour image" in fails("denoise", colour, *arguments)


@pytest.mark.filterwarnings("default:the gantry is tilted")
def test_work_that_cannot_be_written_is_refused_before_it_begins(capsys, tiny_models, tmp_path):
    hu = np.random.default_rng(0).integers(-1024, 1000, (3, 40, 48)).astype(np.int16)
    dicom_files.write_series(tmp_path / "tilted", hu, step=(0, 0.8, 3), PixelSpacing=[0.75, 0.75])
    (tmp_path / "file").write_text("")
    models = ("--models", tiny_models, "--denoiser", "chen")
    commands = {
        ("simulate", "--out", tmp_path / "low.nii.gz"): "sheared",
        ("simulate", "--out", tmp_path / "LOW.NII"): "sheared",
        ("denoise", *models, "--out", tmp_path / "clean.nii"): "sheared",
        ("denoise", *models, "--out", tmp_path / "tilted"): "not a format to write",
        ("simulate", "--out", tmp_path / "file" / "low.nrrd"): "as that is a file",
        ("sample", *models, "--layer", 5, "--out", tmp_path / "file"): "as that is a file",
    }
    before = sorted(tmp_path.rglob("*"))
    for (command, *options), message in commands.items():
        assert main([command, str(tmp_path / "tilted"), *map(str, options)]) == 2
        written = capsys.readouterr().err
        assert message in written
        assert "%" not in written, "there is progress, so work had begun"
        assert "Errno" not in written
    assert sorted(tmp_path.rglob("*")) == before
    assert (
        main(
            [
                "evaluate",
                "--models",
                str(tiny_models),
                "--data",
                str(tmp_path),
                "--out",
                str(tmp_path / "file"),
            ]
        )
        == 2
    )
    assert "as that is a file" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".MHA", ".NII.GZ", ".NRRD"])
def test_suffixes_in_capitals_end_as_one_file(run, tmp_path, suffix):
    hu = np.random.default_rng(0).normal(40, 10, (1, 40, 48)).astype(np.int16)
    dicom_files.write_series(tmp_path / "ct", hu, PixelSpacing=[0.75, 0.75])
    run("simulate", tmp_path / "ct", "--dose", 0.5, "--out", tmp_path / "out" / f"LOW{suffix}")
    assert [each.name for each in (tmp_path / "out").iterdir()] == [f"LOW{suffix}"]


def test_damage_and_slices_of_no_scan_are_refused_by_every_command(fails, tiny_models, tmp_path):
    hu = np.random.default_rng(0).integers(-1024, 1000, (3, 40, 48)).astype(np.int16)
    cti.write_volume(cti.CTVolume(hu, np.eye(4)), tmp_path / "a.mha")
    content = bytearray((tmp_path / "a.mha").read_bytes())
    content[len(content) // 2] ^= 0x10
    (tmp_path / "a.mha").write_bytes(content)
    coronal = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "step": (0, 3, 0)}
    dicom_files.write_series(tmp_path / "coronal", hu, **coronal)
    models = ("--models", tiny_models, "--denoiser", "chen", "--out")
    for volume, message in {"a.mha": "damaged", "coronal": "its slices are coronal"}.items():
        assert message in fails("simulate", tmp_path / volume, "--out", tmp_path / "out.nrrd")
        assert message in fails("denoise", tmp_path / volume, *models, tmp_path / "out.nrrd")
        assert message in fails("sample", tmp_path / volume, "--layer", 5, *models, tmp_path / "out")
    assert {each.name for each in tmp_path.iterdir()} == {"a.mha", "coronal"}


@pytest.mark.filterwarnings("default:values from")
def test_values_that_are_hardly_hu_are_said_on_the_terminal(run, tmp_path):
    hu = np.random.default_rng(0).normal(0, 15, (1, 64, 64))
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    hu += np.where(x**2 + y**2 < 0.7, 1064, 24)
    cti.write_volume(cti.CTVolume(hu.astype(np.int16), np.diag([2.0, 2, 2, 1])), tmp_path / "a.nrrd")
    _, stderr = run("simulate", tmp_path / "a.nrrd", "--out", tmp_path / "low.nrrd")
    assert "warning: values from" in stderr
    assert "shifted, by 1024 HU perhaps" in stderr
