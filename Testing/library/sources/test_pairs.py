"""Which series belong together, and that a pair is voxel for voxel at one place."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from dicom_files import write_series, write_slice

from CTInvarianceLib.base import DataError, DicomError, GeometryWarning, PairingWarning
from CTInvarianceLib.files import write_sequence, write_volume
from CTInvarianceLib.sources import CTSeries, SeriesPair, find_pairs, read_pair
from CTInvarianceLib.volumes import CTVolume

HU = np.random.default_rng(0).integers(-1000, 2000, (3, 4, 5), dtype=np.int16)
LOCALIZER = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


def write(folder, patient, description, uid, hu=HU, **tags):
    return write_series(
        folder, hu, PatientID=patient, SeriesDescription=description, SeriesInstanceUID=uid, **tags
    )


def volume(hu=HU, x=0.0):
    affine = np.diag([0.5, 0.75, 3.0, 1.0])
    affine[0, 3] = x
    return CTVolume(hu, affine)


def summary(pairs: list[SeriesPair]) -> list[tuple[str, str | None, str]]:
    def name(series: CTSeries) -> str:
        return series.series_uid or series.files[0].name

    return [
        (pair.patient_id, name(pair.low_dose) if pair.low_dose else None, name(pair.full_dose))
        for pair in pairs
    ]


# DICOM


def test_descriptions_pair_within_a_patient(tmp_path):
    write(tmp_path / "L2" / "a", "L2", "Low Dose Images", "1.21")
    write(tmp_path / "L2" / "b", "L2", "Full dose images", "1.22")
    write(tmp_path / "C1" / "a", "C1", "LOW DOSE IMAGES", "1.11")
    write(tmp_path / "C1" / "b", "C1", "Full Dose Images", "1.12")
    write(tmp_path / "N3", "N3", "Full Dose Images", "1.32")
    write(tmp_path / "A0", "A0", "CHEST 3.0 B40f", "1.41")
    pairs = find_pairs(tmp_path)
    assert summary(pairs) == [
        ("A0", None, "1.41"),
        ("C1", "1.11", "1.12"),
        ("L2", "1.21", "1.22"),
        ("N3", None, "1.32"),
    ]
    assert all(pair.full_dose.patient_id == pair.patient_id for pair in pairs)
    assert pairs[1].low_dose.description == "LOW DOSE IMAGES"
    assert pairs == find_pairs([tmp_path / "N3", str(tmp_path), tmp_path / "A0"])


def test_series_of_one_folder_are_told_apart(tmp_path):
    low = write(tmp_path, "p", "low dose", "1.1", names=["0", "1", "2"])
    full = write(tmp_path, "p", "full dose", "1.2", hu=HU + 1, names=["0f", "1f", "2f"])
    (pair,) = find_pairs(tmp_path)
    assert pair.low_dose.files == tuple(low)
    assert pair.full_dose.files == tuple(full)
    low_volume, full_volume = read_pair(pair)
    assert np.array_equal(low_volume.hu, HU)
    assert np.array_equal(full_volume.hu, HU + 1)


def test_what_is_no_ct_slice_is_passed_over(tmp_path):
    write(tmp_path / "full", "p", "Full Dose Images", "1.1")
    write(tmp_path / "low", "p", "Low Dose Images", "1.2")
    write(tmp_path / "raw", "p", "Low Dose Projections", "1.3")
    write(tmp_path / "mr", "p", "low dose", "1.4", Modality="MR")
    write_slice(
        tmp_path / "scout.dcm",
        np.zeros((4, 4), np.uint16),
        PatientID="p",
        SeriesInstanceUID="1.5",
        ImageType=LOCALIZER,
    )
    write_slice(
        tmp_path / "capture.dcm",
        np.zeros((4, 4, 3), np.uint8),
        PatientID="p",
        SeriesInstanceUID="1.6",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.7",
    )
    (tmp_path / "notes.txt").write_text("low dose")
    assert summary(find_pairs(tmp_path)) == [("p", "1.2", "1.1")]


def test_several_candidates_are_not_guessed(tmp_path):
    for uid, description in [("1.1", "low dose"), ("1.2", "Low Dose"), ("1.3", "full dose")]:
        write(tmp_path / uid, "p", description, uid)
    write(tmp_path / "q", "q", "full dose", "1.4")
    with pytest.warns(
        PairingWarning, match=r"patient p: 2 low-dose and 1 full-dose series, not paired \(1\.2, 1\.1, 1\.3\)"
    ):
        pairs = find_pairs(tmp_path)
    assert summary(pairs) == [("p", None, "1.3"), ("q", None, "1.4")]


def test_low_dose_alone_is_left_out_aloud(tmp_path):
    write(tmp_path / "p", "p", "low dose", "1.1")
    write(tmp_path / "q", "q", "full dose", "1.2")
    with pytest.warns(PairingWarning, match="patient p: 1 low-dose and 0 full-dose"):
        assert summary(find_pairs(tmp_path)) == [("q", None, "1.2")]
    with (
        pytest.warns(PairingWarning, match="patient p"),
        pytest.raises(DataError, match="low-dose series without full dose"),
    ):
        find_pairs(tmp_path / "p")


def test_patients_without_id_stay_apart(tmp_path):
    write(tmp_path / "a", "", "low dose", "1.1", StudyInstanceUID="8.1")
    write(tmp_path / "b", "", "full dose", "1.2", StudyInstanceUID="8.1")
    write(tmp_path / "c", "", "full dose", "1.3", StudyInstanceUID="8.2")
    with pytest.warns(
        PairingWarning, match=r"patients 8\.1, 8\.2: nothing tells who they are; each of 2 studies"
    ):
        assert summary(find_pairs(tmp_path)) == [("8.1", "1.1", "1.2"), ("8.2", None, "1.3")]


def test_one_file_and_damaged_files(tmp_path):
    paths = write(tmp_path, "p", "full dose", "1.1")
    (pair,) = find_pairs(paths[1])
    assert pair.full_dose.files == (paths[1],)
    assert np.array_equal(pair.full_dose.read().hu, HU[1:2])
    paths[1].write_bytes(b"cut")
    with pytest.raises(DicomError, match=paths[1].name):
        find_pairs(paths[1])
    with pytest.warns(PairingWarning, match=rf"{paths[1].name}: not a DICOM file"):
        (pair,) = find_pairs(tmp_path)
    assert pair.full_dose.files == (paths[0], paths[2])


def test_nothing_found(tmp_path):
    with pytest.raises(DataError, match="no CT series"):
        find_pairs(tmp_path)
    with pytest.raises(DataError, match="no CT series"):
        find_pairs([])
    with pytest.raises(DataError, match=r"no such file.*gone"):
        find_pairs(tmp_path / "gone")


# Volume files


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".mha"])
@pytest.mark.parametrize("mark", [".", "-", "_"])
def test_names_of_volume_files_pair(tmp_path, suffix, mark):
    for patient in ("b", "a"):
        write_volume(volume(), tmp_path / f"{patient}{mark}low{suffix}")
        write_volume(volume(HU + 1), tmp_path / "deeper" / f"{patient}{mark}Full{suffix}")
    write_volume(volume(), tmp_path / f"c.v1{suffix}")
    pairs = find_pairs(tmp_path)
    assert summary(pairs) == [
        ("a", f"a{mark}low{suffix}", f"a{mark}Full{suffix}"),
        ("b", f"b{mark}low{suffix}", f"b{mark}Full{suffix}"),
        ("c.v1", None, f"c.v1{suffix}"),
    ]
    low, full = read_pair(pairs[0])
    assert np.array_equal(low.hu + 1, full.hu)


def test_sequences_are_results_not_data(tmp_path):
    write_volume(volume(), tmp_path / "a.nrrd")
    write_sequence(np.zeros((2, 4, 5)), volume(HU[:1]), tmp_path / "b.seq.nrrd")
    assert summary(find_pairs(tmp_path)) == [("a", None, "a.nrrd")]


# Reading


def test_an_unpaired_series_has_no_low_dose(tmp_path):
    write_volume(volume(), tmp_path / "a.nrrd")
    low, full = read_pair(find_pairs(tmp_path)[0])
    assert low is None
    assert np.array_equal(full.hu, HU)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (volume(HU[:2]), "(2, 4, 5) and (3, 4, 5) voxels"),
        (volume(x=2e-3), "voxels up to 0.002 mm apart"),
    ],
)
def test_volumes_that_do_not_match_are_both_named(tmp_path, other, words):
    """By the scan, which uses neither, and by whoever reads them as a pair all the same."""
    paths = [tmp_path / "a.low.nrrd", tmp_path / "a.full.nrrd"]
    write_volume(other, paths[0])
    write_volume(volume(), paths[1])
    with (
        pytest.warns(PairingWarning, match=r"patient a: .*do not match.*\(a\.low\.nrrd, a\.full\.nrrd\)"),
        pytest.raises(DataError, match="no CT series"),
    ):
        find_pairs(tmp_path)
    low, full = (CTSeries("a", "", "", (path,)) for path in paths)
    with pytest.raises(DataError, match=rf"{re.escape(words)}.*a\.low\.nrrd and .*a\.full\.nrrd"):
        read_pair(SeriesPair(low, full, "a"))


def test_a_thousandth_of_a_millimetre_is_no_difference(tmp_path):
    write_volume(volume(), tmp_path / "a.full.nrrd")
    write_volume(volume(x=9e-4), tmp_path / "a.low.nrrd")
    assert read_pair(find_pairs(tmp_path)[0])[0] is not None


def test_series_that_lack_different_slices_pair_with_those_that_both_have(tmp_path):
    """Size, first and last slice agree, and yet the slices between are others."""
    write(tmp_path / "l", "p", "low dose", "1.1", positions=[(0, 0, z) for z in (0, 6, 9)])
    write(tmp_path / "f", "p", "full dose", "1.2", hu=HU + 1, positions=[(0, 0, z) for z in (0, 3, 9)])
    with pytest.warns(PairingWarning) as said:
        (pair,) = find_pairs(tmp_path)
    words = [str(warning.message) for warning in said]
    assert any("1 low-dose and 1 full-dose slices without partner are left out" in text for text in words)
    assert sum("1 slices are missing" in text for text in words) == 2
    assert pair.low_dose.shape == pair.full_dose.shape == (2, 4, 5)
    assert pair.low_dose.spacing == pair.full_dose.spacing == (0.5, 0.75, 9.0)
    low, full = read_pair(pair)
    assert np.array_equal(low.hu, HU[[0, 2]])
    assert np.array_equal(full.hu, HU[[0, 2]] + 1)


@pytest.mark.parametrize("step", [(0, 0, 3), (0, 0, -3), (0, 2, 3), (0.0004, 0, 3)])
def test_slices_pair_by_position_in_whatever_order_the_files_are(tmp_path, step):
    """The low dose begins a slice later, the full dose ends a slice earlier; names say nothing of the order."""
    hu = np.arange(6 * 20, dtype=np.int16).reshape(6, 4, 5)
    places = np.multiply(np.arange(6)[:, None], step)
    names = ["c", "a", "f", "b", "e", "d"]
    low, full = slice(1, 6), slice(0, 5)
    write(tmp_path / "l", "p", "low dose", "1.1", hu=hu[low], positions=places[low] + 2e-4, names=names[low])
    write(tmp_path / "f", "p", "full dose", "1.2", hu=hu[full], positions=places[full], names=names[full])
    with pytest.warns(PairingWarning, match="1 low-dose and 1 full-dose slices without partner are left out"):
        (pair,) = find_pairs(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeometryWarning)
        one, other = read_pair(pair)
    assert np.array_equal(one.hu, other.hu)
    assert sorted(one.hu[:, 0, 0]) == hu[1:5, 0, 0].tolist()


def test_low_and_full_dose_without_a_common_slice_do_not_pair(tmp_path):
    write(tmp_path / "l", "p", "low dose", "1.1", origin=(0, 0, 0))
    write(tmp_path / "f", "p", "full dose", "1.2", origin=(0, 0, 1))
    with pytest.warns(PairingWarning, match=r"patient p: .*share no slice; not paired \(1\.1, 1\.2\)"):
        assert summary(find_pairs(tmp_path)) == [("p", None, "1.2")]


@pytest.mark.parametrize(
    ("hu", "tags", "words"),
    [
        (HU[:, :2], {}, "slices of 2×5 and 4×5 pixels"),
        (HU, {"PixelSpacing": [0.75, 0.6]}, "pixels of 0.6×0.75 and 0.5×0.75 mm"),
        (HU, {"ImageOrientationPatient": [0, 1, 0, -1, 0, 0]}, "other orientations"),
    ],
)
def test_grids_that_differ_do_not_pair(tmp_path, hu, tags, words):
    write(tmp_path / "l", "p", "low dose", "1.1", hu=hu, **tags)
    write(tmp_path / "f", "p", "full dose", "1.2")
    with pytest.warns(
        PairingWarning, match=f"patient p: low and full dose do not match: {words}; not paired"
    ):
        assert summary(find_pairs(tmp_path)) == [("p", None, "1.2")]


def test_two_studies_of_one_patient_with_a_pair_each_are_two_pairs(tmp_path):
    for study, (low, full) in {"8.1": ("1.1", "1.2"), "8.2": ("1.3", "1.4")}.items():
        write(tmp_path / low, "p", "low dose", low, StudyInstanceUID=study)
        write(tmp_path / full, "p", "full dose", full, StudyInstanceUID=study)
    assert summary(find_pairs(tmp_path)) == [("p", "1.1", "1.2"), ("p", "1.3", "1.4")]


def test_a_study_with_two_low_doses_leaves_the_pair_of_another_study_alone(tmp_path):
    for uid, study, description in [
        ("1.1", "8.1", "low dose"),
        ("1.2", "8.1", "full dose"),
        ("1.3", "8.2", "low dose"),
        ("1.4", "8.2", "low dose"),
        ("1.5", "8.2", "full dose"),
    ]:
        write(tmp_path / uid, "p", description, uid, StudyInstanceUID=study)
    with pytest.warns(
        PairingWarning, match=r"2 low-dose and 1 full-dose series, not paired \(1\.3, 1\.4, 1\.5\)"
    ):
        assert summary(find_pairs(tmp_path)) == [("p", "1.1", "1.2"), ("p", None, "1.5")]


def test_two_slices_at_one_position_are_left_out_and_the_rest_is_found(tmp_path):
    write(tmp_path / "bad", "p", "full dose", "1.1", positions=[(0, 0, 0)] * 3)
    write(tmp_path / "good", "q", "full dose", "1.2")
    with pytest.warns(
        PairingWarning, match=r"patient p, series 1\.1 .*two slices at one position.*; left out"
    ):
        assert summary(find_pairs(tmp_path)) == [("q", None, "1.2")]
    with (
        pytest.warns(PairingWarning),
        pytest.raises(DataError, match=r"no CT series.*two slices at one position"),
    ):
        find_pairs(tmp_path / "bad")


def test_the_shared_data(shared_data):
    pairs = find_pairs([shared_data / "dicom", shared_data / "volumes"])
    assert [pair.patient_id for pair in pairs] == sorted(pair.patient_id for pair in pairs)
    assert all(pair.low_dose is None for pair in pairs)
    patients = {pair.patient_id: pair for pair in pairs}
    assert len(pairs) == len(patients) + 1 == 11  # the water phantom is two series of one patient
    assert patients["TCGA-09-2043"].full_dose.read().shape == (12, 512, 512)
