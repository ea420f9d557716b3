"""What Slicer's DICOM indexer takes from a file into the rows of its database."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NOT_THERE = "__TAG_NOT_IN_INSTANCE__"


def as_listed(folder: Path) -> list[Path]:
    """All files below a folder in no order that means anything, as a file system lists them; always the same."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(files, key=lambda path: _digest(path.relative_to(folder).as_posix()))


def read(path: Path) -> Any:
    """The header of a DICOM file."""
    import pydicom

    return pydicom.dcmread(path, stop_before_pixels=True)


def value(dataset: Any, tag: str) -> str:
    """One tag as text, its values separated by backslashes, as the tag cache keeps it."""
    element = dataset.get(tuple(int(part, 16) for part in tag.split(",")))
    if element is None or element.value in (None, ""):
        return NOT_THERE
    values = element.value if element.VM > 1 else [element.value]
    return "\\".join(map(str, values))


def study_row(dataset: Any, study: str, patient: str) -> dict[str, Any]:
    """The row of the study; its date stays as in DICOM, which the column turns into a number."""
    return {
        "StudyInstanceUID": study,
        "PatientsUID": patient,
        "StudyDate": _text(dataset, "StudyDate"),
        "StudyTime": _text(dataset, "StudyTime"),
        "StudyDescription": _text(dataset, "StudyDescription"),
    }


def series_row(dataset: Any, series: str, study: str) -> dict[str, Any]:
    """The row of the series; numbers that are missing become 0, its date is written with hyphens."""
    date = _text(dataset, "SeriesDate") or ""
    return {
        "SeriesInstanceUID": series,
        "StudyInstanceUID": study,
        "SeriesNumber": int(dataset.get("SeriesNumber") or 0),
        "SeriesDate": f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 else None,
        "SeriesDescription": _text(dataset, "SeriesDescription"),
        "Modality": _text(dataset, "Modality"),
        "BodyPartExamined": _text(dataset, "BodyPartExamined"),
        "FrameOfReferenceUID": _text(dataset, "FrameOfReferenceUID"),
        "AcquisitionNumber": int(dataset.get("AcquisitionNumber") or 0),
    }


def copied(path: Path, folder: Path, uids: Sequence[str]) -> Path:
    """A copy of the file where Slicer would put it: below dicom/, named by its study, series and instance."""
    study, series, instance = map(_digest, uids)
    target = folder / "dicom" / study[:8] / series[:8] / f"{instance}.dcm"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    return target


def _digest(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _text(dataset: Any, name: str) -> str | None:
    found = dataset.get(name)
    return None if found is None else str(found).strip()
