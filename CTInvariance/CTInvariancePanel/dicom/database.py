"""Slicer's DICOM database: what is in it, which series belong together, what of it can be used.

`db` is `slicer.dicomDatabase`, which does not exist until Slicer has started, and may not be open. Its signal
`databaseChanged` comes dozens of times in one import: whoever listens waits until it is quiet, then reads anew.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from CTInvarianceLib.base import DataError
from CTInvarianceLib.config import DataConfig
from CTInvarianceLib.sources import CTSeries, SeriesPair, anatomies, anatomy_of, pair_series, split_patients

from ..steps import runAll
from .fields import labelsOf, numberOf, readPatient, textOf
from .loading import loadedSeries, loadSeries, missingFiles, seriesOf, whyEmpty
from .tree import PatientRow, SeriesRow, StudyRow, matches, search

__all__ = [
    "PatientRow", "SeriesRow", "Split", "StudyRow", "details", "loadSeries", "loadedSeries", "matches", "missingFiles",
    "pairsOf", "readInSteps", "readPatients", "search", "seriesOf", "seriesPairs", "split", "unclearPatients",
    "whyEmpty",
]  # fmt: skip

_THICKNESS, _KERNEL = "0018,0050", "0018,1210"


def readInSteps(db: Any) -> Generator[None, None, tuple[PatientRow, ...]]:
    """All patients in the order of their names; empty where `whyEmpty` says so. Yields after every series."""
    patients = []
    for key in () if whyEmpty(db) else db.patients():
        patients.append((yield from readPatient(db, key)))
    pairs, problems = pair_series(_usable(patients))
    unclear = {problem.where: problem.what for problem in problems}
    partners = {
        series.series_uid: (dose, other.series_uid)
        for pair in pairs
        if pair.low_dose
        for dose, series, other in (
            ("low", pair.low_dose, pair.full_dose),
            ("full", pair.full_dose, pair.low_dose),
        )
    }
    return tuple(
        _withPartners(patient, partners, _note(patient, unclear))
        for patient in sorted(patients, key=lambda each: (each.name.casefold(), each.id))
    )


def readPatients(db: Any) -> tuple[PatientRow, ...]:
    """The same at once: a second for a thousand series."""
    return runAll(readInSteps(db))


def pairsOf(patients: Iterable[PatientRow], db: Any = None) -> list[SeriesPair]:
    """Pairs and single series as `CTInvarianceLib.find_pairs` would form them; with their files if `db` is given."""
    return pair_series(_usable(patients, db))[0]


def unclearPatients(patients: Iterable[PatientRow]) -> list[str]:
    """A sentence for every patient whose series are not paired because it is not clear which belong together."""
    problems = map(str, pair_series(_usable(patients))[1])
    return [f"{problem[:1].upper()}{problem[1:]}" for problem in problems]


def seriesPairs(db: Any) -> list[SeriesPair]:
    """Pairs and single series of the whole database, with their files.

    Raises:
        DataError: no database is open, or it holds no CT series that can be used.
    """
    if problem := whyEmpty(db):
        what, _stop, hint = problem.partition(". ")
        raise DataError(what, hint=hint)
    patients = readPatients(db)
    pairs = pairsOf(patients, db)
    if not pairs:
        usable = any(row.usable for patient in patients for row in patient.series)
        raise DataError(
            _("low-dose series without full dose") if usable else _("no CT series that can be used"),
            where=db.databaseFilename,
            hint=_("Import a folder with CT images in the DICOM module."),
        )
    return pairs


def details(db: Any, uid: str) -> str:
    """Slice thickness and kernel, such as "3 mm, B40f". Slow: Slicer opens a file to know them."""
    file = next(iter(db.filesForSeries(uid)), "")
    thickness = textOf(db.fileValue(file, _THICKNESS)) if file else ""
    kernel = textOf(db.fileValue(file, _KERNEL)).replace("\\", ", ") if file else ""
    return ", ".join(part for part in (thickness and f"{numberOf(thickness):g} mm", kernel) if part)


@dataclass(frozen=True)
class Split:
    """Patient ids for training, validation and test; `note` says what is unusual about it."""

    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    note: str = ""


def split(pairs: Iterable[SeriesPair], seed: int, validation: float = 0.2) -> Split:
    """Which patients a training run on these pairs with this seed would keep apart: the rule is the run's own.

    Raises:
        DataError: none would be left to train on.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = split_patients(anatomies(pairs), DataConfig(validation=validation), seed=seed)
    parts = (tuple(found[name]) for name in ("training", "validation", "test"))
    return Split(*parts, "; ".join(str(warning.message) for warning in said))


def _usable(patients: Iterable[PatientRow], db: Any = None) -> Iterator[CTSeries]:
    for patient in patients:
        for study in patient.studies:
            for row in study.series:
                if row.usable:
                    files = () if db is None else map(Path, db.filesForSeries(row.uid))
                    labels = labelsOf(patient, study, row)
                    anatomy = anatomy_of(labels.patient, row.bodyPart, study.description, row.description)
                    yield CTSeries(
                        labels.owner,
                        row.uid,
                        row.description,
                        tuple(files),
                        study.uid,
                        anatomy,
                        labels.kernel,
                        dose=labels.dose,
                        person=labels.person,
                        known=bool(labels.patient),
                    )


def _note(patient: PatientRow, unclear: dict[str, str]) -> str:
    """What is unclear about a row of the database, which may be a part of a patient, or several."""
    owners = dict.fromkeys(f"patient {series.patient_id}" for series in _usable([patient]))
    return next((unclear[owner] for owner in owners if owner in unclear), "")


def _withPartners(patient: PatientRow, partners: dict[str, tuple[str, str]], note: str) -> PatientRow:
    def of(row: SeriesRow) -> SeriesRow:
        dose, partner = partners.get(row.uid, (row.dose, ""))
        return replace(row, dose=dose, partner=partner, note=note if row.usable and row.dose else "")

    studies = (replace(study, series=tuple(map(of, study.series))) for study in patient.studies)
    return replace(patient, studies=tuple(studies))
