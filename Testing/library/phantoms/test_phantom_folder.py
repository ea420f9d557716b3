"""The folder of phantoms: paired DICOM series in the archive's layout that whoever reads DICOM can read."""

from __future__ import annotations

import re
import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest

from CTInvarianceLib import find_pairs, read_volume
from CTInvarianceLib.app import demo
from CTInvarianceLib.base import ConfigError
from CTInvarianceLib.phantoms import phantom_pair, phantom_source, write_phantoms
from CTInvarianceLib.sources import read_pair

SMALL = {"slices": 2, "size": 48, "pixel_mm": 8.0}
NAMES = ("P001-head", "P002-chest")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder of two patients, and what was said of it."""
    folder, told = tmp_path_factory.mktemp("phantoms"), []
    files = write_phantoms(folder, patients=2, kinds=("head", "chest"), **SMALL, progress=told.append)
    return folder, files, told


def test_names_are_those_of_the_archive(written):
    folder, files, told = written
    assert sorted(files) == sorted(path for path in folder.rglob("*") if path.is_file())
    assert told == pytest.approx([0.25, 0.5, 0.75, 1])
    names = [path.relative_to(folder).as_posix() for path in files]
    for n, patient in enumerate(NAMES):
        *dicom, truth = names[5 * n : 5 * n + 5]
        assert truth == f"truth/{patient}.nrrd"
        slices = [(series, k) for series in ("1.000000-Low", "2.000000-Full") for k in (1, 2)]
        for name, (series, k) in zip(dicom, slices, strict=True):
            study = rf"dicom/CTInvariance-Phantoms/{patient}/01-01-2026-NA-NA-\d{{5}}"
            assert re.fullmatch(rf"{study}/{series} Dose Images-\d{{5}}/1-00{k}\.dcm", name)


def test_every_patient_is_a_pair_and_the_truth_is_none(written):
    pairs = find_pairs(phantom_source(written[0]))
    assert [pair.patient_id for pair in pairs] == sorted(NAMES)
    for n, (pair, kind) in enumerate(zip(pairs, ("head", "chest"), strict=True)):
        expected = phantom_pair(kind, seed=n, **SMALL)
        low, full = read_pair(pair)
        assert low is not None
        for read, volume in ((low, expected.low_dose), (full, expected.full_dose)):
            np.testing.assert_array_equal(read.hu, np.rint(volume.hu))
            np.testing.assert_allclose(read.affine, volume.affine, atol=1e-10)
        truth = read_volume(written[0] / "truth" / f"{pair.patient_id}.nrrd")
        np.testing.assert_allclose(truth.hu, expected.truth.hu)


def test_headers_say_what_it_is_and_that_it_was_nobody(written):
    sets = [pydicom.dcmread(path) for path in written[1] if path.suffix == ".dcm"]
    for each in sets:
        assert each.PatientIdentityRemoved == each.QualityControlSubject == "YES"
        assert "never was a patient" in each.DeidentificationMethod
        assert not re.match(r"[CLN]\d", each.PatientID)
        assert each.BodyPartExamined == each.PatientID.split("-")[1].upper()
    for tag, count in {
        "PatientID": 2, "StudyInstanceUID": 2, "FrameOfReferenceUID": 2, "SeriesInstanceUID": 4, "SOPInstanceUID": 8,
    }.items():  # fmt: skip
        assert len({each[tag].value for each in sets}) == count, tag
    assert [(each.SeriesNumber, each.SeriesDescription) for each in sets[::2]] == 2 * [
        (1, "Low Dose Images"),
        (2, "Full Dose Images"),
    ]


def test_dciodvfy_and_dcentvfy_find_nothing(written):
    """David Clunie's validators of single files and of what files say of one patient, study and series."""
    if not (shutil.which("dciodvfy") and shutil.which("dcentvfy")):
        pytest.skip("dciodvfy and dcentvfy are not installed (package dicom3tools)")
    files = [path for path in written[1] if path.suffix == ".dcm"]
    for command, said in [
        *((["dciodvfy", "-new", path], "CTImage") for path in files),
        (["dcentvfy", *files], ""),
    ]:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (result.returncode, (result.stdout + result.stderr).strip()) == (0, said)


def test_slicers_database_shows_two_series_of_each_patient(written, tmp_path):
    bench = pytest.importorskip("bench.dicom_database", reason="the bench needs slicer-core and PySide6")
    database = bench.DicomDatabase(tmp_path)
    assert database.addFolder(phantom_source(written[0])) == 8
    found = {}
    for patient in database.patients():
        (study,) = database.studiesForPatient(patient)
        series = database.seriesForStudy(study)
        assert [len(database.filesForSeries(each)) for each in series] == [2, 2]
        found[database.fieldForPatient("PatientID", patient)] = sorted(
            map(database.descriptionForSeries, series)
        )
    database.closeDatabase()
    assert found == {name: ["Full Dose Images", "Low Dose Images"] for name in NAMES}


def test_the_same_command_writes_the_same_files_over_and_another_one_is_refused(tmp_path):
    options = {**SMALL, "kinds": ("head",), "patients": 1}
    first = {path: path.read_bytes() for path in write_phantoms(tmp_path, **options)}
    assert {path: path.read_bytes() for path in write_phantoms(tmp_path, **options)} == first
    more = write_phantoms(tmp_path, **{**options, "patients": 2})
    assert more[:5] == list(first)
    with pytest.raises(ConfigError, match=r"another phantom P001-head already.*Choose another folder"):
        write_phantoms(tmp_path, **{**options, "dose": 0.1})
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(more)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patients": 0}, "number of patients is out of range: 0. Give 1 to 9999"),
        ({"patients": 10**20}, "number of patients is out of range"),
        ({"slices": 10**9}, "number of slices is out of range"),
        ({"size": 10**6}, "number of pixels is out of range"),
        ({"pixel_mm": float("inf")}, "pixels are out of range: inf mm"),
        ({"kinds": ("head", "knee")}, "knee"),
        ({"kinds": ()}, "empty"),
        ({"slices": 0}, "slice"),
        ({"dose": 0}, "dose"),
        ({"seed": -1}, "seed"),
    ],
)
def test_mistakes_write_nothing(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        write_phantoms(tmp_path / "data", **{**SMALL, **changes})
    assert not (tmp_path / "data").exists()


def test_the_demo_asks_about_a_chest_that_no_network_has_seen(written):
    models = SimpleNamespace(
        config=SimpleNamespace(embedding=SimpleNamespace(patch_size=32)),
        manifest={"patients": {"validation": list(NAMES)}},
    )
    phantom, real = demo._cases(phantom_source(written[0]), models)
    expected = phantom_pair("chest", seed=1, **SMALL)
    np.testing.assert_array_equal(phantom.volume.hu, np.rint(expected.low_dose.hu))
    np.testing.assert_array_equal(phantom.full_dose.hu, np.rint(expected.full_dose.hu))
    assert real.full_dose is None
