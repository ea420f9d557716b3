"""Which dose a series is of: told by any text, or asked where it matters, but never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series

from CTInvarianceLib.base import DataError, PairingWarning
from CTInvarianceLib.sources import HeaderIndex, Scan, find_pairs, scan

HU = np.random.default_rng(0).integers(-1000, 2000, (4, 4, 5), dtype=np.int16)


def write(folder: Path, uid: str, hu=HU, **tags) -> None:
    study = uid.rpartition(".")[0]
    tags = {"PatientID": "p", "SeriesDescription": None, "StudyInstanceUID": study, **tags}
    write_series(folder, hu, SeriesInstanceUID=uid, **tags)


def scanned(*source: Path) -> Scan:
    return scan(source, index=HeaderIndex(None))


def summary(found: Scan) -> list[tuple[str, str | None, str]]:
    return [
        (pair.patient_id, pair.low_dose and pair.low_dose.name, pair.full_dose.name) for pair in found.pairs
    ]


# Told


NAMINGS = {
    "PatientName and PatientID": lambda dose: {"PatientID": f"L067_{dose}_1_1", "PatientName": f"L067_{dose}_1_1"},
    "PatientID": lambda dose: {"PatientID": f"L067_{dose}_1_1"},
    "PatientName": lambda dose: {"PatientID": "L067", "PatientName": f"L067_{dose}_1_1"},
    "PatientName of nobody": lambda dose: {"PatientID": "Anonymous", "PatientName": f"L067_{dose}_1_1"},
    "description": lambda dose: {"PatientID": "L067", "SeriesDescription": f"{dose} 3mm"},
}  # fmt: skip


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("studies", ["1.1", "1.2"])
def test_headers_tell_the_dose(tmp_path, naming, studies):
    """In one study, or a study for each dose."""
    write(tmp_path / "a", f"{studies}.2", **NAMINGS[naming]("QD"))
    write(tmp_path / "b", "1.1.1", hu=HU + 1, **NAMINGS[naming]("FD"))
    found = scanned(tmp_path)
    assert summary(found) == [("L067", f"{studies}.2", "1.1.1")]
    assert found.problems == ()


@pytest.mark.parametrize(
    ("low", "full", "name"),
    [
        ("L067/quarter_1mm", "L067/full_1mm", "IM{}"),
        ("quarter_3mm_sharp/L067", "full_3mm_sharp/L067", "IM{}"),
        ("L067_QD", "L067_FD", "IM{}"),
        ("L067/low dose/DICOM", "L067/full dose/DICOM", "IM{}"),
        ("L067/1", "L067/2", "L067_{dose}_1_1.CT.0002.{:04d}.2016.01.21.IMA"),
        ("L067/1.000000-Low Dose Images-00959", "L067/1.000000-Full dose images-38475", "1-{:03d}.dcm"),
    ],
)
@pytest.mark.parametrize("patient", ["L067", "Anonymous"])
def test_folders_and_files_tell_the_dose_and_of_nobody_the_patient(tmp_path, low, full, name, patient):
    for folder, dose, uid in ((low, "QD", "1.1.1"), (full, "FD", "1.2.1")):
        names = [name.format(k, dose=dose) for k in range(4)]
        if "{dose}" in name:
            names = [name.replace("{dose}", dose).format(k) for k in range(4)]
        write(tmp_path / "data" / folder, uid, PatientID=patient, PatientName=patient, names=names)
    found = scanned(tmp_path / "data")
    assert summary(found) == [("L067", "1.1.1", "1.2.1")]
    assert found.problems == ()
    assert summary(scanned(tmp_path / "data" / low, tmp_path / "data" / full))[0][1:] == ("1.1.1", "1.2.1")


def test_two_kernels_each_pair_by_kernel(tmp_path):
    """A study for each series, everybody Anonymous, as in copies of the AAPM challenge."""
    number = 0
    for patient, kernels in (("P001", ("D45f", "B30f")), ("P002", ("D45f",))):
        for kernel in kernels:
            for dose in ("QD", "FD"):
                number += 1
                tags = {"PatientID": "Anonymous", "PatientName": f"{patient}_{dose}_3_{kernel}"}
                write(tmp_path / str(number), f"1.{number}.1", ConvolutionKernel=kernel, **tags)
    found = scanned(tmp_path)
    assert summary(found) == [
        ("P001", "1.1.1", "1.2.1"),
        ("P001", "1.3.1", "1.4.1"),
        ("P002", "1.5.1", "1.6.1"),
    ]
    assert found.problems == ()


def test_kernels_that_names_tell_keep_reconstructions_apart(tmp_path):
    for number, folder in enumerate(("quarter_sharp", "quarter_smooth", "full_sharp", "full_smooth")):
        write(tmp_path / "data" / "L067" / folder, f"1.1.{number}", PatientID="L067")
    assert summary(scanned(tmp_path / "data")) == [("L067", "1.1.0", "1.1.2"), ("L067", "1.1.1", "1.1.3")]


def test_positions_tell_which_of_several_scans_belong_together(tmp_path):
    for z, part in ((0, "1"), (300, "2")):
        for dose in ("low", "full"):
            write(
                tmp_path / f"{dose}{part}",
                f"1.1.{part}{len(dose)}",
                origin=(0, 0, z),
                SeriesDescription=f"{dose} dose",
            )
    found = scanned(tmp_path)
    assert sorted(summary(found)) == [("p", "1.1.13", "1.1.14"), ("p", "1.1.23", "1.1.24")]
    assert found.problems == ()


@pytest.mark.parametrize("studies", ["1", "123"])
def test_several_low_doses_of_one_full_dose_are_not_guessed(tmp_path, studies):
    for number, dose in enumerate(("100% dose", "50% dose", "25_dose")):
        write(tmp_path / str(number), f"1.{studies[number % len(studies)]}.{number}", SeriesDescription=dose)
    found = scanned(tmp_path)
    ((_, low, full),) = summary(found)
    assert (low, full[-1]) == (None, "0")
    (problem,) = found.problems
    assert problem.what.startswith("2 low-dose and 1 full-dose series, not paired")


def test_other_kernels_do_not_pair(tmp_path):
    write(tmp_path / "a", "1.1.1", SeriesDescription="low dose", ConvolutionKernel="B30f")
    write(tmp_path / "b", "1.1.2", SeriesDescription="full dose", ConvolutionKernel="D45f")
    found = scanned(tmp_path)
    assert summary(found) == [("p", None, "1.1.2")]
    (problem,) = found.problems
    assert "different kernels, B30f and D45f; not paired (1.1.1, 1.1.2)" in problem.what


def test_quarter_dose_alone_is_no_full_dose(tmp_path):
    write(tmp_path / "a", "1.1.1", PatientID="L067_QD_1_1")
    with (
        pytest.warns(PairingWarning, match="patient L067: 1 low-dose and 0 full-dose series"),
        pytest.raises(DataError, match="low-dose series without full dose"),
    ):
        find_pairs(tmp_path)
    write(tmp_path / "quarter_1mm", "1.2.1", PatientID="q")
    found = scanned(tmp_path)
    assert [problem.where for problem in found.problems] == ["patient L067", "patient q"]
    assert not scanned(tmp_path / "quarter_1mm").pairs


def test_what_a_source_is_called_says_nothing_of_all_that_is_in_it(tmp_path):
    write(tmp_path / "lowdose_project" / "a", "1.1.1")
    write(
        tmp_path / "LDCT-and-Projection-data" / "b",
        "1.2.1",
        SeriesDescription="Full dose images",
        PatientID="q",
    )
    assert [pair.full_dose.name for pair in scanned(tmp_path / "lowdose_project").pairs] == ["1.1.1"]
    assert ("q", None, "1.2.1") in summary(scanned(tmp_path))


def test_texts_that_contradict_each_other_are_named(tmp_path):
    write(tmp_path / "a", "1.1.1", PatientName="L067_QD_1_1", SeriesDescription="Full Dose Images")
    found = scanned(tmp_path)
    assert not found.pairs
    (problem,) = found.problems
    assert problem.where == "patient p, series 1.1.1"
    assert "say low dose and full dose; left out" in problem.what


# Asked


@pytest.mark.parametrize("kernel", [None, "B30f"])
def test_two_series_at_one_place_of_which_nothing_tells_the_dose_are_asked_about(tmp_path, kernel):
    for uid in ("1.1.1", "1.2.1"):
        write(tmp_path / uid, uid, **({"ConvolutionKernel": kernel} if kernel else {}))
    write(tmp_path / "other", "1.1.3", origin=(0, 0, 300))
    found = scanned(tmp_path)
    assert summary(found) == [("p", None, "1.1.3")]
    (problem,) = found.problems
    assert problem.where == "patient p"
    assert (
        "which dose 2 series at the place of another are of is not told; left out (1.1.1, 1.2.1)"
        in problem.what
    )
    assert "full dose" in problem.hint


def test_a_folder_answers_the_question(tmp_path):
    for uid in ("1.1.1", "1.1.2"):
        write(tmp_path / "data" / "full dose" / uid, uid)
    found = scanned(tmp_path / "data")
    assert summary(found) == [("p", None, "1.1.1"), ("p", None, "1.1.2")]
    assert found.problems == ()


@pytest.mark.parametrize("told", ["low dose", "full dose"])
def test_a_dose_that_is_told_of_one_only_is_not_guessed_of_the_other(tmp_path, told):
    write(tmp_path / "a", "1.1.1", SeriesDescription=told)
    write(tmp_path / "b", "1.1.2", SeriesDescription="Thorax")
    found = scanned(tmp_path)
    assert summary(found) == ([("p", None, "1.1.1")] if told == "full dose" else [])
    assert any(
        "1.1.2, 1.1.1" in problem.what and told.replace(" ", "-") in problem.what
        for problem in found.problems
    )


def test_known_kernels_that_differ_are_two_reconstructions_aloud(tmp_path):
    for uid, kernel in (("1.1.1", "B30f"), ("1.1.2", "B70f")):
        write(tmp_path / uid, uid, ConvolutionKernel=kernel)
    found = scanned(tmp_path)
    assert summary(found) == [("p", None, "1.1.1"), ("p", None, "1.1.2")]
    (problem,) = found.problems
    assert "taken for full dose at several kernels (1.1.1 with B30f, 1.1.2 with B70f)" in problem.what


@pytest.mark.parametrize(
    ("other", "asked"),
    [
        ({"origin": (-10, -20, 30 + 3 * 2)}, True),  # half of the slices
        ({"origin": (-10, -20, 30 + 3 * 3)}, False),
        ({"origin": (-10, -20, 31.5)}, False),
        ({"PixelSpacing": [0.75, 0.6]}, False),
        ({"PatientID": "q"}, False),
        ({"hu": HU[:, :3]}, False),
    ],
)
def test_the_question_is_asked_where_half_of_the_slices_lie_at_one_place(tmp_path, other, asked):
    write(tmp_path / "a", "1.1.1")
    write(tmp_path / "b", "1.1.2", **other)
    found = scanned(tmp_path)
    assert len(found.pairs) == (0 if asked else 2)
    assert len(found.problems) == asked
