"""Who is who: patients who are nobody, and volume files that are called alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series

from CTInvarianceLib.files import write_volume
from CTInvarianceLib.sources import HeaderIndex, Scan, scan
from CTInvarianceLib.volumes import CTVolume

HU = np.random.default_rng(0).integers(-1000, 2000, (3, 6, 5), dtype=np.int16)


def write(folder: Path, uid: str, patient: str, description: str, **tags) -> None:
    tags = {"StudyInstanceUID": uid.rpartition(".")[0], **tags}
    write_series(folder, HU, SeriesInstanceUID=uid, PatientID=patient, SeriesDescription=description, **tags)


def volumes(folder: Path, *names: str) -> Path:
    for name in names:
        write_volume(CTVolume(HU, np.diag([0.5, 0.75, 3.0, 1.0])), folder / name)
    return folder


def scanned(source: Path) -> Scan:
    return scan(source, index=HeaderIndex(None))


def patients(found: Scan) -> list[str]:
    return sorted({pair.patient_id for pair in found.pairs})


# DICOM


@pytest.mark.parametrize("nobody", ["ANONYMOUS", "Anonymized Patient", "00000000"])
def test_an_id_of_nobody_makes_no_pair_across_studies(tmp_path, nobody):
    write(tmp_path / "a", "1.1.1", nobody, "Low Dose Images", PatientName=nobody)
    write(tmp_path / "b", "1.2.1", nobody, "Full Dose Images", PatientName=nobody)
    found = scanned(tmp_path)
    assert [pair.low_dose for pair in found.pairs] == [None]
    assert patients(found) == [f"{nobody} (study 1.2)"]
    assert any(
        "each of 2 studies counts as a patient of its own" in problem.what for problem in found.problems
    )
    assert any("1 low-dose and 0 full-dose series" in problem.what for problem in found.problems)


def test_one_study_of_nobody_is_one_person(tmp_path):
    write(tmp_path / "a", "1.1.1", "ANONYMOUS", "Low Dose Images")
    write(tmp_path / "b", "1.1.2", "ANONYMOUS", "Full Dose Images")
    found = scanned(tmp_path)
    assert [pair.low_dose.name for pair in found.pairs] == ["1.1.1"]
    assert found.problems == ()


def test_names_tell_who_is_who_where_the_id_does_not(tmp_path):
    for number, name in enumerate(("Meyer^Anna", "Schulz^Otto")):
        write(tmp_path / f"{number}a", f"1.{number}.1", "ANON", "Low dose", PatientName=name)
        write(tmp_path / f"{number}b", f"2.{number}.1", "ANON", "Full dose", PatientName=name)
    found = scanned(tmp_path)
    assert [(pair.patient_id, pair.low_dose.name) for pair in found.pairs] == [
        ("Meyer^Anna", "1.0.1"),
        ("Schulz^Otto", "1.1.1"),
    ]
    assert found.problems == ()


def test_one_scan_in_two_studies_of_nobody_is_asked_about(tmp_path):
    for study, z in ((1, 0), (2, 0), (3, 500)):
        write(tmp_path / str(study), f"1.{study}.1", "Anonymous", "", origin=(0, 0, z))
    found = scanned(tmp_path)
    assert patients(found) == ["Anonymous (study 1.3)"]
    assert any("2 series of different studies at one place" in problem.what for problem in found.problems)


def test_an_id_that_tells_pairs_across_studies(tmp_path):
    write(tmp_path / "a", "1.1.1", "C3N-1", "Low Dose Images", PatientName="Anonymous")
    write(tmp_path / "b", "1.2.1", "C3N-1", "Full Dose Images", PatientName="Anonymous")
    found = scanned(tmp_path)
    assert [pair.low_dose.name for pair in found.pairs] == ["1.1.1"]
    assert found.problems == ()


# Volume files


@pytest.mark.parametrize(
    ("names", "who"),
    [
        (["2024.01.15 Meyer.nrrd", "2024.02.20 Schulz.nrrd"], ["2024.01.15 Meyer", "2024.02.20 Schulz"]),
        (["1.2.840.1.nii.gz", "1.2.840.2.nii.gz"], ["1.2.840.1", "1.2.840.2"]),
        (["s0000/ct.nii.gz", "s0001/ct.nii.gz", "s0002/ct.nii.gz"], ["s0000", "s0001", "s0002"]),
        (["a/p1/ct.nrrd", "a/p2/ct.nrrd", "b/p1/ct.nrrd"], ["a/p1", "b/p1", "p2"]),
        (["p1/visit 1/ct.nrrd", "p1/visit 2/ct.nrrd", "p2/visit 1/ct.nrrd"], ["p1", "p2"]),
        (
            ["p1/ct.nrrd", "p1/ct_late.nrrd", "p2/ct.nrrd", "p2/ct_late.nrrd", "p3/ct.nrrd"],
            ["p1", "p2", "p3"],
        ),
        (["sub-01_ses-1_ct.nii.gz", "sub-02_ses-1_ct.nii.gz"], ["sub-01", "sub-02"]),
        (["x/a.nrrd", "y/b.nrrd"], ["a", "b"]),
    ],
)
def test_patients_of_volume_files(tmp_path, names, who):
    folder = volumes(
        tmp_path / "data", *(name for name in names if "visit" not in name and "late" not in name)
    )
    for number, name in enumerate(name for name in names if "visit" in name or "late" in name):
        affine = np.diag([0.5, 0.75, 3.0, 1.0])
        affine[2, 3] = 100 * (number + 1)  # another scan of the same patient lies elsewhere
        write_volume(CTVolume(HU, affine), folder / name)
    found = scanned(folder)
    assert patients(found) == who
    assert len(found.pairs) == len(names)
    assert found.problems == ()


@pytest.mark.parametrize(
    "names",
    [
        ["p1/low.nrrd", "p1/full.nrrd", "p2/low.nrrd", "p2/full.nrrd"],
        ["low/p1.nrrd", "low/p2.nrrd", "full/p1.nrrd", "full/p2.nrrd"],
        ["low/p1/ct.nrrd", "low/p2/ct.nrrd", "full/p1/ct.nrrd", "full/p2/ct.nrrd"],
        ["p1/ct_quarter.nrrd", "p1/ct_full.nrrd", "p2/ct_quarter.nrrd", "p2/ct_full.nrrd"],
        ["p1_QD.nrrd", "p1_FD.nrrd", "p2_ldct.nii.gz", "p2_ndct.nii.gz"],
        ["p1_low_dose.nrrd", "p1_full_dose.nrrd", "lowdose-p2.nrrd", "fulldose-p2.nrrd"],
    ],
)
def test_pairs_of_volume_files(tmp_path, names):
    found = scanned(volumes(tmp_path / "data", *names))
    assert [(pair.patient_id, pair.low_dose is not None) for pair in found.pairs] == [
        ("p1", True),
        ("p2", True),
    ]
    assert found.problems == ()


def test_two_kernels_of_volume_files(tmp_path):
    names = [f"L067_{dose}_{kernel}.nrrd" for dose in ("full", "quarter") for kernel in ("sharp", "smooth")]
    found = scanned(volumes(tmp_path / "data", *names))
    assert [(pair.low_dose.files[0].name, pair.full_dose.files[0].name) for pair in found.pairs] == [
        ("L067_quarter_sharp.nrrd", "L067_full_sharp.nrrd"),
        ("L067_quarter_smooth.nrrd", "L067_full_smooth.nrrd"),
    ]


def apart(folder: Path, *names: str) -> Path:
    """Volumes that lie at different places."""
    for number, name in enumerate(names):
        affine = np.diag([0.5, 0.75, 3.0, 1.0])
        affine[2, 3] = 100 * number
        write_volume(CTVolume(HU, affine), folder / name)
    return folder


@pytest.mark.parametrize(
    ("names", "who", "named"),
    [
        (
            ["x/a", "x/b", "x/c", "y/a", "y/d", "y/e"],
            ["a", "b", "c", "d", "e"],
            "what shares one is taken for",
        ),
        (
            ["M/thorax", "M/liver", "S/thorax", "S/liver"],
            ["liver + thorax"],
            "or a folder, is taken for one patient",
        ),
        (["M/a", "M/b", "M/c", "S/a", "S/b", "S/c", "T/d"], ["a + b + c", "d"], "or a folder, is taken for"),
        (
            [f"{phase}/p{n}" for phase in ("arterial", "venous") for n in range(8)],
            [f"p{n}" for n in range(8)],
            "",
        ),
    ],
)
def test_names_that_return_in_folders_never_part_a_person(tmp_path, names, who, named):
    """One patient twice, or two who are called alike: whoever they are, never in training and validation both."""
    found = scanned(apart(tmp_path / "data", *(f"{name}.nrrd" for name in names)))
    assert patients(found) == who
    assert len(found.pairs) == len(names)
    assert [named in problem.what for problem in found.problems] == ([True] if named else [])


def test_one_id_of_two_names_makes_no_pair(tmp_path):
    """At one place, as with phantoms or positions that were reset."""
    write(tmp_path / "a", "1.1.1", "123", "Low dose", PatientName="Meyer^Anna")
    write(tmp_path / "b", "1.2.1", "123", "Full dose", PatientName="Schulz^Otto")
    write(tmp_path / "c", "1.3.1", "124", "Low dose", PatientName="Meyer^Anna")
    write(tmp_path / "d", "1.4.1", "124", "Full dose", PatientName="MEYER^ANNA^^")
    found = scanned(tmp_path)
    assert [(pair.patient_id, pair.low_dose is not None) for pair in found.pairs] == [
        ("123", False),
        ("124", True),
    ]
    (problem,) = found.problems
    assert "are of one id and two names, meyer anna and schulz otto; not paired" in problem.what


def test_a_copy_in_another_format_is_asked_about(tmp_path):
    found = scanned(volumes(tmp_path / "data", "p1.nrrd", "p1.nii.gz", "p2.nrrd"))
    assert patients(found) == ["p2"]
    (problem,) = found.problems
    assert problem.where == "patient p1"
