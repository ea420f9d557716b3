"""Slicer's DICOM database as the panel shows it: patients, series, pairs, and what cannot be used and why."""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series, write_slice

from CTInvarianceLib.base import DataError, DicomError
from CTInvarianceLib.sources import find_pairs

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
PANEL = str(Path(__file__).parents[3] / "CTInvariance")
database = pytest.importorskip("CTInvariancePanel.dicom.database")
bench = pytest.importorskip("bench.dicom_database")

HU = np.zeros((3, 4, 5), np.int16)
STORED = np.zeros((4, 5), np.uint16)


@pytest.fixture
def db(tmp_path):
    opened = bench.DicomDatabase(tmp_path / "database")
    yield opened
    opened.closeDatabase()


def write(folder, patient, description, uid, hu=HU, **tags):
    folder = folder / "in" / uid
    utf8 = {"SpecificCharacterSet": "ISO_IR 192"}  # first: names are encoded when they are set
    tags = {
        **utf8,
        "PatientName": patient,
        "StudyInstanceUID": f"8.{int.from_bytes(patient.encode())}",
        **tags,
    }
    return write_series(
        folder, hu, PatientID=patient, SeriesDescription=description, SeriesInstanceUID=uid, **tags
    )


def rows(db):
    return {row.uid: row for patient in database.readPatients(db) for row in patient.series}


def test_a_pair_knows_its_partners(db, tmp_path):
    low = write(tmp_path, "1", "Low Dose Images", "1.1")
    full = write(tmp_path, "1", "Full dose images", "1.2")
    write(tmp_path, "1", "Lung", "1.3")
    db.addFolder(tmp_path / "in")
    found = rows(db)
    assert [(found[uid].dose, found[uid].partner) for uid in ("1.1", "1.2", "1.3")] == [
        ("low", "1.2"),
        ("full", "1.1"),
        ("", ""),
    ]
    assert all(row.usable and row.images == 3 and not row.note for row in found.values())
    assert len(list(database.readInSteps(db))) == 3
    without = database.pairsOf(database.readPatients(db))
    assert [pair.low_dose and pair.low_dose.files for pair in without] == [(), None]
    pairs = database.seriesPairs(db)
    assert sorted(pairs[0].low_dose.files) == low
    assert sorted(pairs[0].full_dose.files) == full
    assert np.array_equal(pairs[0].full_dose.read().hu, HU)
    assert [pair.full_dose.series_uid for pair in pairs] == ["1.2", "1.3"]


def test_pairs_are_those_of_the_library(db, tmp_path):
    for patient in "abc":
        write(tmp_path, patient, "low dose", f"1.{ord(patient)}")
        write(tmp_path, patient, "FULL_DOSE", f"2.{ord(patient)}")
    write(tmp_path, "d", "Chest", "1.9")
    write(tmp_path, "e", "Low dose projections", "1.10")
    db.addFolder(tmp_path / "in")

    def summary(pairs):
        return [(p.patient_id, p.low_dose and p.low_dose.series_uid, p.full_dose.series_uid) for p in pairs]

    assert summary(database.seriesPairs(db)) == summary(find_pairs(tmp_path / "in"))


def test_ambiguous_series_are_not_paired_and_say_why(db, tmp_path):
    for uid, description in [("1.1", "low dose"), ("1.2", "Low Dose"), ("1.3", "full dose")]:
        write(tmp_path, "p", description, uid)
    write(tmp_path, "q", "full dose", "1.4")
    db.addFolder(tmp_path / "in")
    assert [pair.low_dose for pair in database.seriesPairs(db)] == [None, None]
    assert database.unclearPatients(database.readPatients(db)) == [
        "Patient p: 2 low-dose and 1 full-dose series, not paired (1.2, 1.1, 1.3)"
    ]
    found = rows(db)
    assert all("2 low-dose and 1 full-dose" in found[uid].note for uid in ("1.1", "1.2", "1.3"))
    assert not found["1.4"].note
    assert all(row.usable and not row.partner for row in found.values())


def test_what_cannot_be_used_says_why(db, tmp_path):
    write(tmp_path, "p", "brain", "1.1", Modality="MR")
    write(tmp_path, "p", "scout", "1.2", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write(tmp_path, "p", "Low dose projections", "1.3")
    capture = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "ImageType": ["DERIVED", "SECONDARY"]}
    write(tmp_path, "p", "dose report", "1.4", **capture)
    write(tmp_path, "p", "contours", "1.5", hu=HU[:1], Modality="RTSTRUCT")
    write(tmp_path, "p", "enhanced", "1.6", hu=HU[:1], SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1")
    write(tmp_path, "p", "reformatted", "1.7", ImageType=["DERIVED", "SECONDARY", "MPR"])
    write(tmp_path, "p", "one slice", "1.8", hu=HU[:1])
    write(tmp_path, "p", "two slices", "1.9", hu=HU[:2])
    db.addFolder(tmp_path / "in")
    found = rows(db)
    assert {uid: row.reason.split(" (")[0] for uid, row in found.items() if not row.usable} == {
        "1.1": "MR, not CT",
        "1.2": "Localizer",
        "1.3": "Projections, not images",
        "1.4": "Not CT images",
        "1.5": "RTSTRUCT, not CT",
        "1.6": "Multi-frame CT, which cannot be used yet",
    }
    assert [found[uid].images for uid in ("1.7", "1.8", "1.9")] == [3, 1, 2]
    assert [p.full_dose.series_uid for p in database.seriesPairs(db)] == ["1.8", "1.7", "1.9"]


def test_files_that_are_gone(db, tmp_path):
    paths = write(tmp_path, "p", "chest", "1.1")
    db.addFolder(tmp_path / "in")
    first = Path(db.filesForSeries("1.1")[0])
    other = next(path for path in paths if path != first)
    other.unlink()
    assert rows(db)["1.1"].usable  # only the first is looked at for the list
    assert database.missingFiles(db, "1.1") == [other]
    with pytest.raises(DicomError, match=r"1 of 3 files of the series are gone.*Bring the folder"):
        database.loadSeries("1.1", db)
    first.unlink()
    row = rows(db)["1.1"]
    assert row.filesMissing
    assert row.reason == f"The files are gone: {first}"
    with pytest.raises(DataError, match="no CT series that can be used"):
        database.seriesPairs(db)


@pytest.mark.parametrize("state", ["none", "closed", "empty"])
def test_without_a_database(state, tmp_path):
    db = None if state == "none" else bench.DicomDatabase(tmp_path if state == "empty" else None)
    assert database.readPatients(db) == ()
    assert ("empty" if state == "empty" else "not open") in database.whyEmpty(db)
    with pytest.raises(DataError, match=r"database is (empty|not open)\. (Import|Open)"):
        database.seriesPairs(db)
    if state != "empty":
        with pytest.raises(DicomError, match="not open"):
            database.loadSeries("1.1", db)


def test_names_dates_and_search(db, tmp_path):
    tags = {"SpecificCharacterSet": "ISO_IR 192", "StudyDate": "20091122", "SeriesNumber": "7"}
    write(tmp_path, "MÜ-1", "Thorax nativ", "1.1", PatientName="Müller^Jörg^^Dr.", **tags)
    write(tmp_path, "MÜ-1", "Full dose", "1.2", PatientName="Müller^Jörg^^Dr.", **tags)
    write(
        tmp_path, "2", "Head", "1.3", PatientName="Yamada^Tarou=山田^太郎", StudyDescription=",CE,,WITH CE,"
    )
    db.addFolder(tmp_path / "in")
    mueller, yamada = database.readPatients(db)
    assert (mueller.name, mueller.id, mueller.studies[0].date) == ("Müller, Jörg", "MÜ-1", "2009-11-22")
    assert (yamada.name, yamada.studies[0].title, yamada.studies[0].date) == (
        "Yamada, Tarou",
        "CE,,WITH CE",
        "",
    )
    assert database.matches(mueller, "JÖRG müller")
    assert database.matches(mueller, "mü-1 nativ")
    assert not database.matches(yamada, "nativ")
    assert database.matches(yamada.series[0], "")
    (patient,) = database.search((mueller, yamada), "müller DOSE full")
    assert [row.uid for row in patient.series] == ["1.2"]
    assert database.search((mueller, yamada), "") == (mueller, yamada)
    assert database.search((mueller, yamada), "nobody") == ()


def test_patients_without_id_stay_apart(db, tmp_path):
    for study in ("8.1", "8.2"):
        write(
            tmp_path, "", "low dose" if study == "8.1" else "full dose", f"1.{study}", StudyInstanceUID=study
        )
    db.addFolder(tmp_path / "in")
    assert [patient.id for patient in database.readPatients(db)] == ["8.1", "8.2"]
    assert [pair.low_dose for pair in database.seriesPairs(db)] == [None]


def test_fields_that_are_null(db, tmp_path):
    path = write_slice(tmp_path / "in" / "x.dcm", STORED, SeriesDescription=None, Modality="CT")
    db.addFolder(tmp_path / "in")
    for table, field in [("Series", "SeriesNumber"), ("Studies", "StudyDate"), ("Patients", "PatientsName")]:
        db._rows.execute(f"UPDATE {table} SET {field} = NULL")
    (patient,) = database.readPatients(db)
    assert (patient.name, patient.id) == ("patient", "patient")
    assert patient.series[0].title == "Series 0"
    assert patient.series[0].usable
    db._rows.execute("UPDATE Series SET Modality = NULL")
    assert rows(db)["1.2.3.4"].reason == "Unknown modality, not CT"
    db._rows.execute("UPDATE Series SET Modality = 'CT'")
    db._rows.execute("UPDATE Images SET Filename = ''")
    assert rows(db)["1.2.3.4"].reason == "Not downloaded yet"
    assert path.exists()


def test_the_database_that_slicer_wrote(shared_data, tmp_path):
    db = bench.DicomDatabase(bench.lay_out_shared_database(shared_data, tmp_path / "é a"))
    patients = {patient.id: patient for patient in database.readPatients(db)}
    assert len(patients) == 5
    chest = patients["C3N-00249"]
    assert (chest.studies[0].title, chest.studies[0].date) == ("CT CHEST W IV CONTRAST", "2009-11-22")
    assert chest.series[0].title == "CHEST  3.0  B40f"
    assert [row.images for row in patients["6a5ff00e-2f02-47c5-8890-4850709cbe1b"].series] == [1, 1]
    assert all(row.usable for patient in patients.values() for row in patient.series)
    assert database.details(db, chest.series[0].uid) == "3 mm, B40f"
    pairs = database.seriesPairs(db)
    assert len(pairs) == 6
    assert next(pair for pair in pairs if pair.patient_id == "C3N-00249").full_dose.read().shape == (
        12,
        512,
        512,
    )
    db.closeDatabase()


def cpu_seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def test_it_is_fast(db, tmp_path):
    """To read a database takes much less than to fill it, whatever the machine."""
    made = cpu_seconds(lambda: fill(db, tmp_path))
    asked = []
    value = db.fileValue
    db.fileValue = lambda file, tag: asked.append(file) or value(file, tag)
    patients = database.readPatients(db)
    assert len(patients) == 200
    assert sum(bool(row.partner) for patient in patients for row in patient.series) == 400
    assert len(asked) <= 600
    del db.fileValue
    read = min(cpu_seconds(lambda: database.readPatients(db)) for _ in range(3))
    assert read < made / 2, (read, made)  # a sixth


def fill(db, tmp_path):
    """200 patients with 3 series each, 100 images in each: rows without files, but for the first."""
    for p in range(200):
        db._put("Patients", {"PatientsName": f"P^{p}", "PatientID": f"p{p}"})
        db._put("Studies", {"StudyInstanceUID": f"8.{p}", "PatientsUID": p + 1})
        for s, description in enumerate(("low dose", "full dose", "lung")):
            uid = f"1.{p}.{s}"
            db._put(
                "Series",
                {
                    "SeriesInstanceUID": uid,
                    "StudyInstanceUID": f"8.{p}",
                    "SeriesDescription": description,
                    "Modality": "CT",
                },
            )
            for k in range(100):
                name = str(tmp_path / f"{uid}.{k}")
                db._put(
                    "Images", {"SOPInstanceUID": f"{uid}.{k}", "Filename": name, "SeriesInstanceUID": uid}
                )
            (tmp_path / f"{uid}.0").touch()
            db._cache(f"{uid}.0", {"0008,0008": "ORIGINAL\\PRIMARY\\AXIAL"})


def test_the_split_is_that_of_a_run(db, tmp_path):
    from CTInvarianceLib.config import DataConfig
    from CTInvarianceLib.sources import anatomies, split_patients

    for k in range(5):
        write(tmp_path, f"p{k}", "axial", f"1.{k}", BodyPartExamined="CHEST" if k < 2 else "HEAD")
    db.addFolder(tmp_path / "in")
    pairs = database.seriesPairs(db)
    found = database.split(pairs, seed=3, validation=0.4)
    of_run = split_patients(anatomies(find_pairs(tmp_path / "in")), DataConfig(validation=0.4), seed=3)
    assert [list(found.training), list(found.validation), list(found.test)] == list(of_run.values())
    assert sorted(pair.anatomy for pair in pairs if pair.patient_id in found.validation) == ["chest", "head"]
    assert not found.note
    assert "one patient only" in database.split(pairs[:1], seed=0).note


def test_the_volume_is_told_from_its_transform(db, tmp_path, monkeypatch):
    """DICOMUtils exists only inside Slicer: a stand-in that returns what Slicer returns for uneven slices."""
    write(tmp_path, "p", "chest", "1.1")
    db.addFolder(tmp_path / "in")
    scene = slicer.vtkMRMLScene()
    transform, volume = (
        scene.AddNewNodeByClass(name) for name in ("vtkMRMLGridTransformNode", "vtkMRMLScalarVolumeNode")
    )
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    answer = {"ids": [transform.GetID(), volume.GetID()]}
    utils = types.SimpleNamespace(loadSeriesByUID=lambda uids: answer["ids"] if uids == ["1.1"] else None)
    monkeypatch.setitem(sys.modules, "DICOMLib", types.SimpleNamespace(DICOMUtils=utils))
    assert database.loadSeries("1.1", db) is volume
    answer["ids"] = [transform.GetID()]
    with pytest.raises(DicomError, match=r"makes no volume of this series: chest\. Look at it"):
        database.loadSeries("1.1", db)


def test_it_needs_no_torch(brought_in):
    heavy = ("torch", "monai", "pydicom")
    assert brought_in("import CTInvariancePanel.dicom.database", heavy).endswith("[]")
