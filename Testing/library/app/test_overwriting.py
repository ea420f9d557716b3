"""No output takes the place of an input, and none that of a file that was there, unless it is said."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import tiny

import CTInvarianceLib as cti
from CTInvarianceLib.app import main
from CTInvarianceLib.files import require_writable

pytestmark = pytest.mark.filterwarnings("ignore::CTInvarianceLib.base.HounsfieldWarning")

FORMATS = (".nrrd", ".nii", ".nii.gz", ".mha")
SAME = {
    "itself": lambda path: path,
    "a longer way": lambda path: path.parent / ".." / path.parent.name / path.name,
    "a link": lambda path: _made(path, lambda new: new.symlink_to(path)),
    "a link to a link": lambda path: _made(SAME["a link"](path), lambda new: new.symlink_to(SAME["a link"](path)), "2"),
    "a hard link": lambda path: _made(path, lambda new: os.link(path, new)),
    "a linked folder": lambda path: _made(path, lambda new: new.symlink_to(path.parent), "folder") / path.name,
}  # fmt: skip


def _made(path: Path, make, more: str = "") -> Path:
    new = path.parent / f"{more}link-{path.name}"
    if not new.is_symlink() and not new.exists():
        make(new)
    return new


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def volume(seed: int = 0) -> cti.CTVolume:
    hu = np.random.default_rng(seed).normal(40, 20, (2, 24, 24)).astype(np.int16)
    return cti.CTVolume(hu, np.diag([1.5, 1.5, 3, 1]))


@pytest.fixture
def refused(capsys):
    """The command ends with 2 and these words, and not a byte below the folder has changed."""

    def check(folder: Path, words: str, *arguments: object) -> None:
        before = tree(folder)
        assert main([str(each) for each in arguments]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert words in error
        assert tree(folder) == before

    return check


@pytest.fixture(params=["simulate", "denoise"])
def command(request, tiny_models) -> tuple[object, ...]:
    models = ("--models", tiny_models, "--denoiser", "identity")
    return (request.param, *(models if request.param == "denoise" else ("--dose", 1)))


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("same", SAME)
def test_never_over_the_input_whatever_it_is_called(refused, command, tmp_path, same, suffix):
    path = tmp_path / "in" / f"scan{suffix}"
    cti.write_volume(volume(), path)
    for given, out in ((path, SAME[same](path)), (SAME[same](path), path)):
        refused(tmp_path, "replace the input", *command, given, "--out", out, "--overwrite")
        refused(tmp_path, "a file of that name already", *command, given, "--out", out)


@pytest.mark.parametrize("named", [("a.mhd", "a.raw"), ("a.nhdr", "a.raw.nrrd")])
def test_never_over_the_voxels_that_a_header_names(refused, command, tmp_path, named):
    """A file of another suffix than what one writes, but for its name."""
    header, voxels = named
    sitk.WriteImage(sitk.GetImageFromArray(volume().hu), str(tmp_path / header))
    stored = tmp_path / voxels.removesuffix(".nrrd")
    moved = tmp_path / "voxels.nii"
    stored.rename(moved)
    text = (tmp_path / header).read_bytes().replace(stored.name.encode(), moved.name.encode())
    (tmp_path / header).write_bytes(text)
    assert cti.read_volume(tmp_path / header).shape == (2, 24, 24)
    refused(tmp_path, "replace the input", *command, tmp_path / header, "--out", moved, "--overwrite")


def test_never_over_a_slice_of_the_input(refused, command, tmp_path, tiny_source):
    folder = tmp_path / "ct"
    shutil.copytree(tiny.series(tiny_source), folder)
    (slice_,) = folder.iterdir()
    named = slice_.rename(folder / "slice.mha")  # DICOM files may be called anything
    out = tmp_path / "out.mha"
    out.symlink_to(named)
    refused(tmp_path, "replace the input", *command, folder, "--out", out, "--overwrite")


def test_a_file_that_is_there_only_with_overwrite(refused, command, tmp_path):
    path, out = tmp_path / "scan.nrrd", tmp_path / "out.nrrd"
    cti.write_volume(volume(), path)
    arguments = (*command, path, "--out", out)
    for make in (lambda: out.write_text("thesis"), lambda: out.symlink_to(tmp_path / "nothing")):
        make()
        refused(tmp_path, f"a file of that name already: {out}", *arguments)
        assert main([str(each) for each in (*arguments, "--overwrite")]) == 0
        assert np.abs(cti.read_volume(out).hu - volume().hu).max() < 0.1
        out.unlink()
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_stays(tmp_path, monkeypatch, capsys):
    path, out = tmp_path / "scan.nrrd", tmp_path / "out.nrrd"
    cti.write_volume(volume(), path)
    simulate = cti.simulate_low_dose

    def slowly(*arguments, **options):
        out.write_text("of somebody else")
        return simulate(*arguments, **options)

    monkeypatch.setattr("CTInvarianceLib.low_dose.simulate_low_dose", slowly)
    assert main(["simulate", str(path), "--dose", "1", "--out", str(out)]) == 2
    assert "a file of that name already" in capsys.readouterr().err
    assert out.read_text() == "of somebody else"


def test_the_library_knows_the_source_of_a_volume(tmp_path):
    path = tmp_path / "scan.nrrd"
    cti.write_volume(volume(), path)
    read = cti.read_volume(path)
    before = path.read_bytes()
    with pytest.raises(cti.CTInvarianceError, match="replace the input"):
        cti.write_volume(read.with_hu(read.hu + 1), path)
    assert path.read_bytes() == before
    require_writable(tmp_path / "new.nrrd", inputs=[path], overwrite=False)
    with pytest.raises(cti.CTInvarianceError, match="a file of that name already"):
        cti.write_volume(volume(), path, overwrite=False)
    cti.write_volume(volume(1), path)  # of another source, as people in Python expect it
    assert np.array_equal(cti.read_volume(path).hu, volume(1).hu)


# Folders


@pytest.fixture
def sample(tiny_models, tiny_source) -> tuple[object, ...]:
    models = ("--models", tiny_models, "--denoiser", "chen", "--layer", 5, "-n", 2)
    return ("sample", tiny.series(tiny_source), "--full-dose", tiny.series(tiny_source, "full"), *models)


def test_a_result_of_sampling_is_replaced_as_a_whole_and_nothing_else(refused, sample, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    refused(tmp_path, "other files, such as thesis.txt", *sample, "--out", tmp_path / "mine", "--overwrite")
    assert main([str(each) for each in (*sample, "--out", out)]) == 0
    refused(tmp_path, "holds a result already", *sample, "--out", out)
    first = tree(out)
    assert main([str(each) for each in (*sample, "--seed", 3, "--out", out, "--overwrite")]) == 0
    assert tree(out).keys() == first.keys()
    assert all(content != tree(out)[name] for name, content in first.items())
    (out / "notes.txt").write_text("mine")
    refused(tmp_path, "other files, such as notes.txt", *sample, "--out", out, "--overwrite")
    refused(tmp_path, "other files", *sample, "--out", tmp_path, "--overwrite")


def test_sampling_never_replaces_what_it_is_made_of(refused, tmp_path, tiny_models, tiny_source):
    out = tmp_path / "out"
    for name, dose in {"mean": "low", "std": "full"}.items():
        read = cti.read_volume(tiny.series(tiny_source, dose))
        cti.write_volume(read, out / f"{name}.nrrd")
    os.link(out / "mean.nrrd", tmp_path / "low.nrrd")
    models = (
        "--models",
        tiny_models,
        "--denoiser",
        "chen",
        "--layer",
        5,
        "-n",
        2,
        "--out",
        out,
        "--overwrite",
    )
    refused(tmp_path, "replace the input", "sample", tmp_path / "low.nrrd", *models)
    partner = ("--full-dose", out / "std.nrrd")
    refused(tmp_path, "replace the input", "sample", tiny.series(tiny_source), *partner, *models)


def test_sampling_into_the_folder_of_the_scan_or_of_the_models(refused, sample, tmp_path, tiny_models):
    """Copies, as a fault would destroy what other tests read."""
    shutil.copytree(tiny_models, tmp_path / "models")
    refused(tmp_path, "other files", *sample, "--out", tmp_path / "models", "--overwrite")


def test_phantoms_only_with_overwrite_and_no_other_file_is_lost(refused, tmp_path):
    out = tmp_path / "out"
    phantom = ("phantom", "--patients", 1, "--slices", 1, "--size", 64, "--pixel-mm", 6, "--out", out)
    assert main([str(each) for each in phantom]) == 0
    first = tree(out)
    refused(tmp_path, "already", *phantom)
    assert main([str(each) for each in (*phantom, "--overwrite")]) == 0
    assert tree(out) == first
    (file, *_) = out.rglob("*.dcm")
    (file.parent / "notes.txt").write_text("mine")
    refused(tmp_path, "notes.txt", *phantom, "--overwrite")
    shutil.rmtree(out / "dicom")
    refused(tmp_path, "a file of that name already", *phantom)


def test_reports_only_with_overwrite_and_no_other_file_is_lost(refused, tmp_path, tiny_models, tiny_source):
    out = tmp_path / "report"
    out.mkdir()
    evaluate = ("evaluate", "--models", tiny_models, "--data", tiny_source, "--out", out)
    for name in ("report.html", "report.json"):
        (out / name).write_text("mine")
        refused(tmp_path, f"holds a result already: {out}", *evaluate)
        (out / name).unlink()
    (out / "notes.txt").write_text("mine")
    refused(tmp_path, f"the folder holds other files, such as notes.txt: {out}", *evaluate, "--overwrite")
    shutil.copytree(tiny_models, tmp_path / "models")
    models = tmp_path / "models"
    refused(
        tmp_path, "other files", *evaluate[:1], "--models", models, *evaluate[3:-1], models, "--overwrite"
    )
