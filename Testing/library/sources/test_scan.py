"""What a data source holds: good series are found beside every kind of bad input, and all that is bad is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import write_series, write_slice
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless

from CTInvarianceLib.base import DataError, DicomError, GeometryWarning, PairingWarning
from CTInvarianceLib.files import write_volume
from CTInvarianceLib.sources import HeaderIndex, Scan, find_pairs, read_pair, require_pairs, scan
from CTInvarianceLib.sources.series import Problem
from CTInvarianceLib.volumes import CTVolume

HU = np.random.default_rng(0).integers(-1000, 2000, (3, 4, 5), dtype=np.int16)
GOOD = ("good", "1.90", "1.91")
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ENHANCED = "1.2.840.10008.5.1.4.1.1.2.1"


def write(folder: Path, patient: str, description: str, uid: str, hu=HU, **tags) -> list[Path]:
    tags = {"StudyInstanceUID": study_of(patient), **tags}
    return write_series(
        folder, hu, PatientID=patient, SeriesDescription=description, SeriesInstanceUID=uid, **tags
    )


def study_of(patient: str) -> str:
    return f"8.{int.from_bytes(patient.encode(), 'big')}"


def write_good(folder: Path) -> None:
    """A pair of patient "good"."""
    write(folder / "good" / "low", "good", "Low Dose Images", "1.90")
    write(folder / "good" / "full", "good", "Full dose images", "1.91", hu=HU + 1)


def summary(found: Scan) -> list[tuple[str, str | None, str]]:
    return [
        (pair.patient_id, pair.low_dose and pair.low_dose.name, pair.full_dose.name) for pair in found.pairs
    ]


def scanned(folder: Path) -> Scan:
    """A scan that must have found the good pair, with every problem complete and as a warning of `find_pairs`."""
    found = scan(folder, index=HeaderIndex(None))
    assert GOOD in summary(found)
    assert all(problem.where and problem.what for problem in found.problems)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        find_pairs(folder)
    assert all(warning.category is PairingWarning for warning in said)
    assert [str(warning.message) for warning in said] == list(map(str, found.problems))
    return found


def only_problem(folder: Path) -> Problem:
    (problem,) = scanned(folder).problems
    return problem


# Layouts


ARCHIVE = {
    "new": (
        "12-23-2021-NA-NA-61870",
        "1.000000-{}-00959",
        "Low Dose Images",
        "Full Dose Images",
        "1-{:03d}.dcm",
    ),
    "old": ("08-23-2018-75696", "1.000000-{}-38475", "Low dose images", "Full dose images", "{:06d}.dcm"),
}


@pytest.mark.parametrize("naming", ARCHIVE)
def test_the_archives_layouts_are_read(tmp_path, naming):
    """LDCT-and-Projection-data with localizers and projections beside, doi 10.7937/9npb-2637."""
    study, series, low, full, name = ARCHIVE[naming]
    names = [name.format(k + 1) for k in range(3)]
    root = tmp_path / "LDCT-and-Projection-data"
    for patient, number in (("C121", 1), ("L241", 2), ("N176", 3)):
        at = root / patient / study
        write(at / series.format(low), patient, low, f"1.{number}1", names=names)
        write(at / series.format(full), patient, full, f"1.{number}2", hu=HU + 1, names=names)
        for k, dose in enumerate(("Low", "Full")):
            projections = f"{dose} Dose Projections"
            write(at / series.format(projections), patient, projections, f"1.{number}{3 + k}", names=names)
        scout = np.zeros((4, 5), np.uint16)
        kind = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SeriesInstanceUID": f"1.{number}9"}
        write_slice(at / "scout" / names[0], scout, PatientID=patient, **kind)
    found = scan(root)
    assert summary(found) == [("C121", "1.11", "1.12"), ("L241", "1.21", "1.22"), ("N176", "1.31", "1.32")]
    assert found.problems == ()
    assert found.left_out == {"localizers": 3, "projections": 18}
    assert [pair.anatomy for pair in found.pairs] == ["chest", "abdomen", "head"]
    first = found.pairs[0].full_dose
    assert (first.shape, first.spacing, first.study_uid) == ((3, 4, 5), (0.5, 0.75, 3.0), study_of("C121"))
    for pair in found.pairs:
        low_volume, full_volume = read_pair(pair)
        assert np.array_equal(low_volume.hu + 1, full_volume.hu)


def test_files_listed_by_hand_are_the_only_ones_looked_at(tmp_path):
    low, full = write(tmp_path / "l", "p", "low dose", "1.1"), write(tmp_path / "f", "p", "full dose", "1.2")
    found = scan([full[2], low[0], full[0], low[2], low[0]])
    assert found.files == 4
    assert found.problems == ()
    ((low_dose, full_dose),) = [(pair.low_dose, pair.full_dose) for pair in found.pairs]
    assert low_dose.files == (low[0], low[2])
    assert full_dose.files == (full[0], full[2])


def test_relative_paths_and_a_home_are_understood(tmp_path, monkeypatch):
    write_good(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert summary(scan("good")) == summary(scan("~/good")) == [GOOD]


def test_folders_with_spaces_accents_and_undecodable_names_are_read_once(tmp_path):
    folder = tmp_path / "Ä b'ü%20\"x"
    write_good(folder)
    if os.name == "posix":
        odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9t\xe9"))
        try:
            write(odd, "q", "full dose", "1.5")
        except OSError:
            pytest.skip("this disk takes no such names")
    first = scan(tmp_path)
    assert GOOD in summary(first)
    assert scan(tmp_path).read == 0
    assert summary(scan(tmp_path)) == summary(first)


def test_volume_files_and_dicom_are_found_together(tmp_path):
    write_good(tmp_path)
    volume = CTVolume(HU, np.diag([0.5, 0.75, 3.0, 1.0]))
    write_volume(volume, tmp_path / "v.low.nrrd")
    write_volume(volume, tmp_path / "v.full.nrrd")
    (tmp_path / "w.nii.gz").touch()
    found = scan(tmp_path)
    assert summary(found) == [GOOD, ("v", "v.low.nrrd", "v.full.nrrd")]
    assert found.problems == (
        Problem(str(tmp_path / "w.nii.gz"), "the file is empty", "Copy or export it again."),
    )


# Bad input: files


@pytest.mark.parametrize("kept", [133, 300, 600])
def test_a_header_that_is_cut_is_named(tmp_path, kept):
    write_good(tmp_path)
    path = write(tmp_path, "p", "full dose", "1.1")[1]
    path.write_bytes(path.read_bytes()[:kept])
    problem = only_problem(tmp_path)
    assert problem.where == str(path)
    assert "header is truncated" in problem.what
    assert "again" in problem.hint
    uids = [pair.full_dose.name for pair in scan(tmp_path).pairs]
    assert "1.1" in uids


def test_pixels_that_are_cut_are_named(tmp_path):
    write_good(tmp_path)
    path = write(tmp_path, "p", "full dose", "1.1")[2]
    path.write_bytes(path.read_bytes()[:-20])
    problem = only_problem(tmp_path)
    assert (problem.where, problem.what) == (str(path), "the file ends before its pixels do")


@pytest.mark.parametrize("name", ["empty.dcm", "IM0001", "1.2.840.10008"])
def test_an_empty_file_is_named(tmp_path, name):
    write_good(tmp_path)
    (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    expected = Problem(str(tmp_path / name), "the file is empty", "Copy or export it again.")
    assert only_problem(tmp_path) == expected
    assert scan(tmp_path).left_out == {"files that are not DICOM": 1}


def test_another_file_with_the_name_of_dicom_is_named_and_one_without_is_not(tmp_path):
    write_good(tmp_path)
    (tmp_path / "a.dcm").write_bytes(b"no DICOM")
    (tmp_path / "notes.txt").write_text("low dose")
    (tmp_path / ".hidden.dcm").write_bytes(b"no DICOM")
    problem = only_problem(tmp_path)
    assert (problem.where, problem.what) == (
        str(tmp_path / "a.dcm"),
        "not a DICOM file, though its name says so",
    )
    assert scan(tmp_path).left_out == {"files that are not DICOM": 1}


def test_many_files_of_a_folder_with_one_trouble_are_one_problem(tmp_path):
    write_good(tmp_path)
    for path in write(tmp_path / "p", "p", "full dose", "1.1", hu=np.repeat(HU, 2, axis=0)):
        path.write_bytes(path.read_bytes()[:-20])
    problem = only_problem(tmp_path)
    assert problem.where == f"{tmp_path / 'p' / '000.dcm'}, 001.dcm, 002.dcm and 3 more files of this folder"


def test_copies_count_once(tmp_path):
    write_good(tmp_path)
    shutil.copytree(tmp_path / "good" / "low", tmp_path / "later" / "low")
    problem = only_problem(tmp_path)
    assert problem.where.startswith(str(tmp_path / "later" / "low" / "000.dcm"))
    assert "a copy of an image that is used already" in problem.what
    assert str(tmp_path / "good" / "low" / "000.dcm") in problem.hint
    assert scan(tmp_path).pairs[0].low_dose.shape[0] == 3


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_what_is_no_file_is_named(tmp_path):
    write_good(tmp_path)
    (tmp_path / "gone.dcm").symlink_to(tmp_path / "nowhere.dcm")
    (tmp_path / "circle").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "folder.dcm").mkdir()
    found = {Path(problem.where).name: problem.what for problem in scanned(tmp_path).problems}
    assert found == {
        "circle": "a link to a folder is not followed",
        "gone.dcm": "a link to a file that is not there",
        "pipe.dcm": "a pipe or device, not a file",
    }


def test_links_to_files_are_files(tmp_path):
    write_good(tmp_path / "there")
    low = tmp_path / "here"
    low.mkdir()
    for path in (tmp_path / "there").rglob("*.dcm"):
        (low / f"{path.parent.name}{path.name}").symlink_to(path)
    assert summary(scan(low)) == [GOOD]


_AS_NOBODY = """
import os, sys
from CTInvarianceLib.sources import HeaderIndex
from CTInvarianceLib.sources import scan
scan(sys.argv[1], index=HeaderIndex(None))  # imports everything while that is allowed
os.geteuid() == 0 and os.setuid(65534)
found = scan(sys.argv[1], index=HeaderIndex(None))
print(*(f"{each.where}: {each.what}" for each in found.problems), len(found.pairs), sep="\\n")
"""


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_files_and_folders_without_permission_are_named():
    """In a process of another user, because root may read everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_good(folder)
        path = write(folder / "p", "p", "full dose", "1.1")[0]
        (folder / "closed").mkdir(mode=0)
        path.chmod(0)
        command = [sys.executable, "-c", _AS_NOBODY, name]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        (folder / "closed").chmod(0o700)
    assert done.stdout.splitlines() == [
        f"{folder / 'closed'}: the folder cannot be read (Permission denied)",
        f"{path}: cannot be read (Permission denied)",
        "2",
    ]


def test_a_file_that_could_not_be_opened_is_tried_again_though_it_did_not_change(tmp_path, monkeypatch):
    path = write(tmp_path / "p", "p", "full dose", "1.1")[0]
    index = HeaderIndex(tmp_path / "headers.sqlite")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:  # what chmod does for everybody but root
        patch.setattr(Path, "open", refuse)
        assert "Permission denied" in scan(path, index=index).problems[0].what
    assert scan(path, index=index).problems == ()


# Bad input: images


def test_a_missing_compression_package_is_named(tmp_path):
    write_good(tmp_path)
    missing = [
        uid
        for uid in (JPEGLSLossless, JPEGLosslessSV1, JPEG2000Lossless)
        if not get_decoder(uid).is_available
    ]
    if not missing:
        pytest.skip("every decoder is installed")
    packages = {
        JPEGLSLossless: "pyjpegls",
        JPEGLosslessSV1: "pylibjpeg-libjpeg",
        JPEG2000Lossless: "pylibjpeg-openjpeg",
    }
    for number, uid in enumerate(missing):
        for path in write(tmp_path / str(number), "p", "full dose", f"1.{number}"):
            dataset = pydicom.dcmread(path)
            dataset.file_meta.TransferSyntaxUID = uid
            dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
            dataset["PixelData"].VR = "OB"
            dataset.save_as(path)
    problems = scanned(tmp_path).problems
    assert len(problems) == len(missing)
    for problem, uid in zip(problems, missing, strict=True):
        assert f"({uid})" in problem.what
        assert problem.hint.startswith("pip install ")
        assert packages[uid] in problem.hint


def test_multi_frame_and_coloured_ct_are_named(tmp_path):
    write_good(tmp_path)
    write_slice(
        tmp_path / "a" / "frames.dcm", np.zeros((4, 5), "<u2"), NumberOfFrames=1, SOPClassUID=ENHANCED
    )
    write_slice(tmp_path / "b" / "colour.dcm", np.zeros((4, 5, 3), "u1"))
    found = [(Path(problem.where).name, problem.what) for problem in scanned(tmp_path).problems]
    assert found == [
        ("frames.dcm", "multi-frame (enhanced) DICOM is not supported yet"),
        ("colour.dcm", "a colour image, not CT"),
    ]


def test_what_is_no_ct_slice_is_counted_by_reason(tmp_path):
    write_good(tmp_path)
    write(tmp_path / "mr", "p", "low dose", "1.1", Modality="MR")
    write(tmp_path / "raw", "p", "Low Dose Projections", "1.2")
    write(tmp_path / "sc", "p", "low dose", "1.3", SOPClassUID=CAPTURE)
    write(tmp_path / "scout", "p", "low dose", "1.4", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    found = scanned(tmp_path)
    assert summary(found) == [GOOD]
    assert found.left_out == {
        "MR, not CT": 3,
        "projections": 3,
        "secondary captures and other objects": 3,
        "localizers": 3,
    }
    with pytest.raises(DataError, match="no CT series, only 3 MR, not CT"):
        find_pairs(tmp_path / "mr")


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"ImagePositionPatient": None}, "ImagePositionPatient is missing or damaged"),
        ({"PixelSpacing": None}, "PixelSpacing is missing or damaged"),
        ({"PixelSpacing": [0, 1]}, "Rows, Columns and PixelSpacing must be positive"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "no two perpendicular unit vectors"),
    ],
)
def test_series_without_a_place_are_named(tmp_path, tags, words):
    write_good(tmp_path)
    write(tmp_path / "bad", "p", "full dose", "1.1")
    for path in (tmp_path / "bad").iterdir():
        dataset = pydicom.dcmread(path)
        for name, value in tags.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        dataset.save_as(path)
    problem = only_problem(tmp_path)
    assert words in problem.what
    assert str(tmp_path / "bad") in problem.where
    assert problem.hint


# Bad input: series


@pytest.mark.parametrize(
    "tags",
    [
        {"PatientID": "other"},
        {"SeriesDescription": "full dose 2"},
        {"ConvolutionKernel": "B70f"},
        {"PixelSpacing": [0.8, 0.5]},
        {"ImageOrientationPatient": [0, 1, 0, -1, 0, 0]},
    ],
)
def test_two_series_with_one_uid_stay_apart_and_are_read_apart(tmp_path, tags):
    write_good(tmp_path)
    write(tmp_path / "a", "p", "full dose", "1.1", ConvolutionKernel="B30f")
    write_series(
        tmp_path / "b",
        HU + 1,
        **{
            "PatientID": "p",
            "SeriesDescription": "full dose",
            "SeriesInstanceUID": "1.1",
            "StudyInstanceUID": study_of("p"),
            "ConvolutionKernel": "B30f",
            **tags,
        },
    )
    found = scanned(tmp_path)
    (problem,) = found.problems
    assert problem.where == "series 1.1"
    assert problem.what.startswith("2 different series share this UID")
    both = [pair.full_dose for pair in found.pairs if pair.full_dose.series_uid == "1.1"]
    assert sorted(int(series.read().hu[0, 0, 0]) for series in both) == [HU[0, 0, 0], HU[0, 0, 0] + 1]


def test_sizes_tell_series_with_one_uid_apart(tmp_path):
    write_good(tmp_path)
    write(tmp_path / "a", "p", "full dose", "1.1")
    write(tmp_path / "b", "p", "full dose", "1.1", hu=HU[:, :2])
    assert only_problem(tmp_path).what.startswith("2 different series share this UID")
    assert {pair.full_dose.shape for pair in scan(tmp_path).pairs} == {(3, 4, 5), (3, 2, 5)}


def test_series_without_uid_go_by_their_folder(tmp_path):
    write_good(tmp_path)
    write(tmp_path / "a", "p", "full dose", "")
    write(tmp_path / "b", "p", "full dose", "", hu=HU + 1)
    found = scanned(tmp_path)
    assert found.problems == ()
    series = [pair.full_dose for pair in found.pairs if pair.patient_id == "p"]
    assert [one.files[0].parent.name for one in series] == ["a", "b"]
    assert [int(one.read().hu[0, 0, 0]) for one in series] == [HU[0, 0, 0], HU[0, 0, 0] + 1]


def test_spacing_that_is_written_with_other_digits_is_the_same_spacing(tmp_path):
    path = write(tmp_path, "p", "full dose", "1.1", PixelSpacing=[0.70350, 0.5])[1]
    dataset = pydicom.dcmread(path)
    dataset.PixelSpacing = [0.70349, 0.5]
    dataset.save_as(path)
    found = scan(tmp_path)
    assert found.problems == ()
    assert [pair.full_dose.shape for pair in found.pairs] == [(3, 4, 5)]
    assert found.pairs[0].full_dose.read().shape == (3, 4, 5)


def test_missing_slices_are_said_and_the_series_is_kept(tmp_path):
    write_good(tmp_path)
    write(tmp_path / "p", "p", "full dose", "1.1", positions=[(0, 0, 0), (0, 0, 3), (0, 0, 9)])
    problem = only_problem(tmp_path)
    assert problem.where == "patient p, series 1.1"
    assert problem.what.startswith("1 slices are missing, after z = 3.0 mm")
    (pair,) = [pair for pair in scan(tmp_path).pairs if pair.patient_id == "p"]
    with pytest.warns(GeometryWarning, match="1 slices are missing"):
        assert pair.full_dose.read().shape == (3, 4, 5)


def test_a_tilted_gantry_is_no_problem(tmp_path):
    write(tmp_path, "p", "full dose", "1.1", step=(0, 1, 3))
    found = scan(tmp_path)
    assert found.problems == ()
    assert found.pairs[0].full_dose.spacing == pytest.approx((0.5, 0.75, 10**0.5))


def test_the_spacing_and_order_are_those_of_the_volume(shared_data):
    """Against reading every real series."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for pair in scan(shared_data / "dicom").pairs:
            series = pair.full_dose
            volume = series.read()
            assert series.shape == volume.shape
            assert series.spacing == pytest.approx(volume.spacing)
            places = [header.position for header in series.headers]
            expected = volume.affine[:3, 3] + np.outer([0, len(places) - 1], volume.affine[:3, 2])
            assert np.allclose([places[0], places[-1]], expected)


# All of it


def test_every_problem_is_named_at_once_and_the_good_pair_is_found(tmp_path):
    write_good(tmp_path)
    (tmp_path / "empty.dcm").touch()
    cut = write(tmp_path / "cut", "p", "full dose", "1.1")[0]
    cut.write_bytes(cut.read_bytes()[:400])
    write(tmp_path / "same", "q", "full dose", "1.2", positions=[(0, 0, 0)] * 3)
    write(tmp_path / "low", "r", "low dose", "1.3")
    found = scanned(tmp_path)
    assert summary(found) == [GOOD, ("p", None, "1.1")]
    assert [problem.what.split(" (")[0] for problem in found.problems] == [
        "the file is empty",
        "the DICOM header is truncated",
        "two slices at one position, 000.dcm and 001.dcm; left out",
        "1 low-dose and 0 full-dose series, not paired",
    ]


def test_a_source_of_nothing_but_trouble_says_the_first_and_how_many(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.dcm").touch()
    found = scan(tmp_path)
    with pytest.raises(DataError, match=r"no CT series.*first of 2 problems.*a/x\.dcm: the file is empty"):
        require_pairs(found)
    with pytest.raises(DicomError, match="the file is empty"):
        find_pairs(tmp_path / "a" / "x.dcm")
