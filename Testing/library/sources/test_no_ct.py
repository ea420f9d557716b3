"""What is no CT of a patient is passed over and counted, whatever it is called; what is, is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series

from CTInvarianceLib.files import write_sequence, write_volume
from CTInvarianceLib.sources import HeaderIndex, Scan, scan
from CTInvarianceLib.volumes import CTVolume

RNG = np.random.default_rng(0)
HU = np.where(np.indices((3, 32, 32))[2] > 8, 40, -1000) + RNG.normal(0, 15, (3, 32, 32)).round()
ORGANS = np.where(np.indices((3, 32, 32))[1] > 20, 5, 0)
LABELS, RESULTS = "label maps and segmentations", "results of this program"


def write(path: Path, values, dtype="int16") -> None:
    write_volume(CTVolume(np.asarray(values, dtype), np.diag([0.5, 0.75, 3.0, 1.0])), path)


def scanned(source: Path, index: HeaderIndex | None = None) -> Scan:
    return scan(source, index=index or HeaderIndex(None))


def test_label_maps_are_told_by_what_they_hold_and_by_their_names(tmp_path):
    write(tmp_path / "p1.nrrd", HU)
    write(tmp_path / "liver.nii.gz", ORGANS)
    write(tmp_path / "empty.nrrd", 0 * ORGANS)
    write(tmp_path / "instances.mha", 300 * ORGANS, "uint16")
    write(tmp_path / "organs.nrrd", ORGANS, "float32")
    write(tmp_path / "Segmentation.seg.nrrd", ORGANS)
    write(tmp_path / "p1-label.nrrd", ORGANS)
    write(tmp_path / "segmentations" / "spleen.nii.gz", ORGANS)
    write(tmp_path / "labelsTr" / "p1.nii.gz", ORGANS)
    found = scanned(tmp_path)
    assert [pair.patient_id for pair in found.pairs] == ["p1"]
    assert found.left_out == {LABELS: 8}
    assert found.problems == ()


@pytest.mark.parametrize(
    "values",
    [
        HU,
        HU.clip(-1000, -1000 + 200),  # of few values
        np.where(ORGANS, 40, -1000),  # without noise
        (HU + 1024) / 16,  # eight bits
    ],
)
def test_images_are_no_label_maps(tmp_path, values):
    write(tmp_path / "p1.nrrd", np.rint(values))
    found = scanned(tmp_path)
    assert [pair.patient_id for pair in found.pairs] == ["p1"]
    assert found.left_out == {}


def test_our_own_results_are_no_patients(tmp_path):
    write(tmp_path / "p1.nrrd", HU)
    folder = tmp_path / "samples"
    write(folder / "mean.nrrd", HU[:1], "float32")
    write(folder / "std.nrrd", np.full((1, 32, 32), 9.5), "float32")
    geometry = CTVolume(np.asarray(HU[:1], "float32"), np.eye(4))
    write_sequence([geometry.hu, geometry.hu], geometry, folder / "samples.seq.nrrd")
    write(tmp_path / "truth" / "P001-chest.nrrd", HU)
    write(tmp_path / "p1_denoised.nrrd", HU)
    found = scanned(tmp_path)
    assert [pair.patient_id for pair in found.pairs] == ["p1"]
    assert found.left_out == {RESULTS: 5}


@pytest.mark.parametrize(
    ("orientation", "image_type", "reason"),
    [
        ([1, 0, 0, 0, 0, -1], ["DERIVED", "SECONDARY", "REFORMATTED"], "coronal, sagittal or oblique slices"),
        ([0, 1, 0, 0, 0, -1], ["DERIVED", "SECONDARY", "MPR"], "coronal, sagittal or oblique slices"),
        ([0, 1, 0, 0, 0, -1], ["ORIGINAL", "PRIMARY", "AXIAL"], "coronal, sagittal or oblique slices"),
        ([1, 0, 0, 0, 0.6, -0.8], ["DERIVED", "SECONDARY"], "coronal, sagittal or oblique slices"),
        ([1, 0, 0, 0, 1, 0], ["DERIVED", "SECONDARY", "MIP"], "projections of a volume (MIP) and renderings"),
        (
            [1, 0, 0, 0, 1, 0],
            ["DERIVED", "PRIMARY", "VOLUME", "MAX_IP"],
            "projections of a volume (MIP) and renderings",
        ),
        ([1, 0, 0, 0, 1, 0], ["DERIVED", "PRIMARY", "PERFUSION"], "maps of materials or perfusion"),
        ([1, 0, 0, 0, 1, 0], ["ORIGINAL", "PRIMARY", "AXIAL"], ""),
        ([1, 0, 0, 0, 1, 0], ["DERIVED", "SECONDARY", "REFORMATTED"], ""),
        ([-1, 0, 0, 0, 1, 0], ["ORIGINAL", "PRIMARY", "AXIAL"], ""),
        ([0, 1, 0, -1, 0, 0], ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"], ""),
        ([1, 0, 0, 0, 0.866025, 0.5], ["ORIGINAL", "PRIMARY", "AXIAL"], ""),  # a gantry tilted by 30 degrees
    ],
)
def test_what_was_computed_from_axial_slices_is_passed_over(tmp_path, orientation, image_type, reason):
    tags = {"PatientID": "p", "StudyInstanceUID": "1.1"}
    write_series(tmp_path / "axial", HU, SeriesInstanceUID="1.1.1", **tags)
    normal = np.cross(orientation[:3], orientation[3:])
    odd = {
        "ImageOrientationPatient": orientation,
        "ImageType": image_type,
        "step": 3 * normal,
        "origin": (0, 0, 400),
    }
    write_series(tmp_path / "odd", HU, SeriesInstanceUID="1.1.2", **odd, **tags)
    found = scanned(tmp_path)
    assert [pair.full_dose.name for pair in found.pairs] == (["1.1.1"] if reason else ["1.1.1", "1.1.2"])
    assert found.left_out == ({reason: 3} if reason else {})
    assert found.problems == ()


def test_volume_files_are_looked_into_once(tmp_path):
    index = HeaderIndex(tmp_path / "index.sqlite")
    data = tmp_path / "data"
    for name, values in (("p1.low.nrrd", HU), ("p1.full.nrrd", HU), ("liver.nii.gz", ORGANS)):
        write(data / name, values)
    write(data / "cut.nii.gz", HU)
    (data / "cut.nii.gz").write_bytes((data / "cut.nii.gz").read_bytes()[:400])
    first = scanned(data, index)
    again = scanned(data, index)
    assert (first.read, again.read) == (4, 0)
    assert (again.pairs, again.problems, again.left_out) == (first.pairs, first.problems, first.left_out)
    assert [pair.low_dose.files[0].name for pair in again.pairs] == ["p1.low.nrrd"]
    (problem,) = again.problems
    assert problem.where == str(data / "cut.nii.gz")
