"""Patients, studies and series of a DICOM database as values, and how people search them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from slicer.i18n import tr as _


@dataclass(frozen=True)
class SeriesRow:
    """One series.

    Attributes:
        uid: SeriesInstanceUID.
        description: SeriesDescription, as it is stored; may be empty.
        number: SeriesNumber; 0 where there is none.
        modality: such as "CT"; may be empty.
        images: how many there are.
        dose: "low" or "full" where the description or the partner says so, else "".
        partner: uid of the series of the same scan at the other dose; "" without one.
        filesMissing: whether the first file is gone; `loading.missingFiles` looks at all.
        reason: why the series cannot be used; "" where it can.
        note: what is worth knowing about a usable series, such as why it has no partner.
        bodyPart: BodyPartExamined; may be empty.
    """

    uid: str
    description: str = ""
    number: int = 0
    modality: str = ""
    images: int = 0
    dose: str = ""
    partner: str = ""
    filesMissing: bool = False
    reason: str = ""
    note: str = ""
    bodyPart: str = ""

    @property
    def usable(self) -> bool:
        """Whether it is CT that can be loaded, denoised and trained on."""
        return not self.reason

    @property
    def title(self) -> str:
        """What to call it."""
        return self.description or _("Series {}").format(self.number)


@dataclass(frozen=True)
class StudyRow:
    """One study; `date` is written 2009-11-22, or empty."""

    uid: str
    description: str
    date: str
    series: tuple[SeriesRow, ...]

    @property
    def title(self) -> str:
        """What to call it."""
        return self.description or _("Study without description")


@dataclass(frozen=True)
class PatientRow:
    """One patient; `key` is the database's own, `id` the PatientID."""

    key: str
    name: str
    id: str
    studies: tuple[StudyRow, ...]

    @property
    def series(self) -> tuple[SeriesRow, ...]:
        """The series of all studies."""
        return tuple(series for study in self.studies for series in study.series)


Row = PatientRow | StudyRow | SeriesRow


def matches(row: Row, text: str) -> bool:
    """Whether every word of `text` occurs in the row or in something below it, in any case and order."""
    return _holds(_words(row), text)


def search(patients: Iterable[PatientRow], text: str) -> tuple[PatientRow, ...]:
    """The part of the tree that matches: words may be spread over patient, study and series.

    A study or patient stays with those of its series that hold all words together with what is above them.
    """
    found = []
    for patient in patients:
        studies = []
        for study in patient.studies:
            above = f"{_own(patient)} {_own(study)}"
            series = tuple(each for each in study.series if _holds(f"{above} {_own(each)}", text))
            if series or _holds(above, text):
                studies.append(replace(study, series=series))
        if studies or _holds(_own(patient), text):
            found.append(replace(patient, studies=tuple(studies)))
    return tuple(found)


def _holds(words: str, text: str) -> bool:
    words = words.casefold()
    return all(word in words for word in text.casefold().split())


def _own(row: Row) -> str:
    if isinstance(row, PatientRow):
        return f"{row.name} {row.id}"
    if isinstance(row, StudyRow):
        return f"{row.description} {row.date}"
    dose = f"{row.dose} dose" if row.dose else ""
    return f"{row.description} {row.modality} {dose} {row.number}"


def _words(row: Row) -> str:
    below = row.studies if isinstance(row, PatientRow) else row.series if isinstance(row, StudyRow) else ()
    return " ".join([_own(row), *map(_words, below)])
