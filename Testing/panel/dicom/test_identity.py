"""Patients and doses of Slicer's database are the library's: what names tell, and what is asked."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_files import write_series

from CTInvarianceLib.sources import find_pairs

pytest.importorskip("slicer", reason="slicer-core is not installed")
database = pytest.importorskip("CTInvariancePanel.dicom.database")
bench = pytest.importorskip("bench.dicom_database")

HU = np.zeros((3, 4, 5), np.int16)


@pytest.fixture
def db(tmp_path):
    opened = bench.DicomDatabase(tmp_path / "database")
    yield opened
    opened.closeDatabase()


def write(folder, uid, patient, name, description="", **tags):
    tags = {"PatientName": name, "StudyInstanceUID": uid.rpartition(".")[0], **tags}
    write_series(
        folder / "in" / uid,
        HU,
        PatientID=patient,
        SeriesDescription=description,
        SeriesInstanceUID=uid,
        **tags,
    )


def rows(db):
    return {row.uid: row for patient in database.readPatients(db) for row in patient.series}


@pytest.mark.parametrize("patient", ["L067_{}_1_1", "Anonymous", "L067"])
def test_full_and_quarter_dose_that_the_patients_name_tells(db, tmp_path, patient):
    """Slicer lists two patients, or one with two studies; to train, they are one."""
    for dose, uid in (("QD", "1.1.1"), ("FD", "1.2.1")):
        write(tmp_path, uid, patient.format(dose), f"L067_{dose}_1_1")
    db.addFolder(tmp_path / "in")
    (pair,) = database.seriesPairs(db)
    assert (pair.patient_id, pair.low_dose.series_uid, pair.full_dose.series_uid) == (
        "L067",
        "1.1.1",
        "1.2.1",
    )
    assert [each.patient_id for each in find_pairs(tmp_path / "in")] == ["L067"]
    found = rows(db)
    assert [(found[uid].dose, found[uid].partner) for uid in ("1.1.1", "1.2.1")] == [
        ("low", "1.2.1"),
        ("full", "1.1.1"),
    ]


def test_quarter_dose_alone_is_no_target(db, tmp_path):
    write(tmp_path, "1.1.1", "L067_QD_1_1", "L067_QD_1_1")
    write(tmp_path, "1.2.1", "L096_FD_1_1", "L096_FD_1_1")
    db.addFolder(tmp_path / "in")
    assert [pair.patient_id for pair in database.seriesPairs(db)] == ["L096"]
    found = rows(db)
    assert found["1.1.1"].dose == "low"
    assert "1 low-dose and 0 full-dose series" in found["1.1.1"].note
    assert not found["1.2.1"].note


def test_two_studies_of_nobody_do_not_pair(db, tmp_path):
    write(tmp_path, "1.1.1", "ANONYMOUS", "ANONYMOUS", "Low dose")
    write(tmp_path, "1.2.1", "ANONYMOUS", "ANONYMOUS", "Full dose")
    db.addFolder(tmp_path / "in")
    (pair,) = database.seriesPairs(db)
    assert (pair.low_dose, pair.patient_id) == (None, "ANONYMOUS (study 1.2)")
    assert any(
        "each of 2 studies counts as a patient" in each
        for each in database.unclearPatients(database.readPatients(db))
    )
    assert "1 low-dose and 0 full-dose" in rows(db)["1.1.1"].note


def test_reformats_and_renderings_cannot_be_used(db, tmp_path):
    coronal = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "step": (0, 3, 0)}
    write(tmp_path, "1.1.1", "p", "p", ImageType=["DERIVED", "SECONDARY", "REFORMATTED"], **coronal)
    write(tmp_path, "1.1.2", "p", "p", ImageType=["DERIVED", "SECONDARY", "MIP"])
    write(tmp_path, "1.1.3", "p", "p", ImageType=["DERIVED", "SECONDARY", "REFORMATTED"])
    db.addFolder(tmp_path / "in")
    assert {uid: row.reason for uid, row in rows(db).items()} == {
        "1.1.1": "No axial slices (coronal, sagittal or oblique slices)",
        "1.1.2": "No axial slices (projections of a volume (MIP) and renderings)",
        "1.1.3": "",
    }
