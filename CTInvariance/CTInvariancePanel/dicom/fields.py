"""Rows from Slicer's DICOM database, whose fields may be NULL, empty or odd.

A patient without PatientID has its study's UID there, put in by Slicer at import, as in CTInvarianceLib.sources.
Tags of files are slow to get, so that a series costs one at most, and three where something is suspicious.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from CTInvarianceLib.dicom import CT_IMAGE_STORAGE, kind_of_image
from CTInvarianceLib.sources import Labels, is_projections

from .tree import PatientRow, SeriesRow, StudyRow

_SOP_CLASS, _IMAGE_TYPE, _ORIENTATION = "0008,0016", "0008,0008", "0020,0037"


def readPatient(db: Any, key: str) -> Generator[None, None, PatientRow]:
    """One patient by the database's key; partners are not looked for yet. Yields after every series."""
    studies = []
    for uid in db.studiesForPatient(key):
        series = []
        for each in db.seriesForStudy(uid):
            series.append(_series(db, each))
            yield
        series.sort(key=lambda row: (row.number, row.description, row.uid))
        description = textOf(db.descriptionForStudy(uid)).strip(", ")
        studies.append(StudyRow(uid, description, _date(db.fieldForStudy("StudyDate", uid)), tuple(series)))
    identity = textOf(db.fieldForPatient("PatientID", key))
    # As in CTInvarianceLib.sources: patients without an id must not fall together.
    identity = identity or next((study.uid for study in studies), key)
    patient = PatientRow(key, _personName(db.nameForPatient(key)) or identity, identity, tuple(studies))
    return replace(patient, studies=tuple(_withDoses(patient, study) for study in studies))


def labelsOf(patient: PatientRow, study: StudyRow, row: SeriesRow) -> Labels:
    """What tells of whom a series is, and at which dose: the rule is the library's."""
    return Labels(patient.id, patient.name, study.uid, study.description, row.description)


def _withDoses(patient: PatientRow, study: StudyRow) -> StudyRow:
    def of(row: SeriesRow) -> SeriesRow:
        dose = labelsOf(patient, study, row).dose if row.usable else ""
        return replace(row, dose=dose if dose in ("low", "full") else "")

    return replace(study, series=tuple(map(of, study.series)))


def _series(db: Any, uid: str) -> SeriesRow:
    files = db.filesForSeries(uid)
    row = SeriesRow(
        uid,
        textOf(db.descriptionForSeries(uid)),
        int(numberOf(db.fieldForSeries("SeriesNumber", uid))),
        textOf(db.fieldForSeries("Modality", uid)).upper(),
        images=len(files),
        filesMissing=bool(files) and not Path(files[0]).is_file(),
        bodyPart=textOf(db.fieldForSeries("BodyPartExamined", uid)).upper(),
    )
    return replace(row, reason=_reason(db, row, files))


def _reason(db: Any, row: SeriesRow, files: tuple[str, ...]) -> str:
    """Why a series cannot be used. Tags come last: each costs a query, or even opens a file."""
    if row.modality != "CT":
        return _("{}, not CT").format(row.modality or _("Unknown modality"))
    if not files:
        return _("No images")
    if row.filesMissing:
        return _("The files are gone: {}").format(files[0]) if files[0] else _("Not downloaded yet")
    if is_projections(row.description):
        return _("Projections, not images")
    return _kindOfImage(db, files)


def _kindOfImage(db: Any, files: tuple[str, ...]) -> str:
    kind = textOf(db.fileValue(files[0], _IMAGE_TYPE)).upper()
    if "LOCALIZER" in kind:
        return _("Localizer")
    # Screenshots and multi-frame files: looked for only where type or number of the images make one suspect them.
    if kind and "SECONDARY" not in kind and len(files) > 1:
        return ""
    sopClass = textOf(db.fileValue(files[0], _SOP_CLASS))
    if sopClass.startswith(f"{CT_IMAGE_STORAGE}."):
        return _("Multi-frame CT, which cannot be used yet")
    if sopClass not in ("", CT_IMAGE_STORAGE):
        return _("Not CT images (secondary capture, dose report or the like)")
    if other := kind_of_image(kind, _numbersOf(db.fileValue(files[0], _ORIENTATION))):
        return _("No axial slices ({})").format(other)
    return ""


def textOf(value: object) -> str:
    """A field as text; NULL comes as None or as ''."""
    return "" if value is None else str(value).strip()


def numberOf(value: object) -> float:
    """A field as a number; 0 where it is none."""
    try:
        return float(textOf(value) or 0)
    except ValueError:
        return 0.0


def _numbersOf(value: object) -> tuple[float, ...]:
    """The numbers of a field with several; () where one is none."""
    try:
        return tuple(map(float, textOf(value).split("\\")))
    except ValueError:
        return ()


def _date(value: object) -> str:
    """2009-11-22 from 20091122, as text or number; anything else as it is."""
    text = textOf(value)
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else text


def _personName(value: object) -> str:
    """A DICOM name, Müller^Jörg^^Dr., as "Müller, Jörg"; its ideographic forms after = are left out."""
    family, *given = textOf(value).split("=")[0].split("^")
    return ", ".join(part.strip() for part in (family, *given[:1]) if part.strip())
