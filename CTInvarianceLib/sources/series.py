"""CT series on disk, and what is wrong with a data source."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..base import CTInvarianceError, Progress, unheard
from ..dicom import DicomHeader
from ..volumes import CTVolume


@dataclass(frozen=True)
class CTSeries:
    """One CT series on disk.

    Attributes:
        patient_id: of whom it is: PatientID without a dose that it names, or what stands in for it, see `identity`.
        series_uid: SeriesInstanceUID; empty for a volume file.
        description: SeriesDescription.
        files: in the order of the slices where headers are known.
        study_uid: StudyInstanceUID.
        anatomy: "chest", "abdomen", "head", another body part, or "" where nothing says it.
        kernel: of the reconstruction, such as "B30f".
        shape: slices, rows, columns; 0 where only reading it would tell.
        spacing: distance of neighbours along i (columns), j (rows) and k (slices), mm; 0 likewise.
        headers: of the files, in their order; empty for a volume file.
        affine: of a volume file, rows of the 4x4 matrix, voxel to patient mm, LPS; else empty.
        dose: "low", "full", "unclear" where texts contradict each other, or "" where nothing tells.
        person: PatientName, see `Labels.person`; "" where it tells nothing.
        known: whether it is certain of whom it is; otherwise patient_id is that of its study.
    """

    patient_id: str
    series_uid: str
    description: str
    files: tuple[Path, ...]
    study_uid: str = ""
    anatomy: str = ""
    kernel: str = ""
    shape: tuple[int, int, int] = (0, 0, 0)
    spacing: tuple[float, float, float] = (0.0, 0.0, 0.0)
    headers: tuple[DicomHeader, ...] = field(default=(), repr=False, compare=False)
    affine: tuple[tuple[float, ...], ...] = ()
    dose: str = ""
    person: str = ""
    known: bool = True

    def read(self, *, progress: Progress = unheard) -> CTVolume:
        """The volume; `progress` gets the fraction of its slices that are read.

        Headers that are known are not read again.

        Raises:
            VolumeError: see `read_volume`.
        """
        from ..dicom import read_slices
        from ..files import read_volume

        if self.headers:
            return read_slices(self.headers, f"{self.files[0].parent}, series {self.name}", progress=progress)
        return read_volume(self.files[0] if len(self.files) == 1 else self.files, progress=progress)

    def only(self, slices: Sequence[int]) -> CTSeries:
        """Some of its slices."""
        files, headers = tuple(self.files[k] for k in slices), tuple(self.headers[k] for k in slices)
        step = self.spacing[2]
        if len(headers) > 1:
            step = round(math.dist(headers[0].position, headers[-1].position) / (len(headers) - 1), 6)
        shape, spacing = (len(files), *self.shape[1:]), (*self.spacing[:2], step)
        return replace(self, files=files, headers=headers, shape=shape, spacing=spacing)

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return self.series_uid or self.files[0].name


@dataclass(frozen=True)
class Problem:
    """Something in a data source that is not as it should be: where, what, and what to do about it."""

    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        """All of it on one line."""
        line = f"{self.where}: {self.what}"
        return f"{line}. {self.hint}" if self.hint else line

    @classmethod
    def of(cls, error: CTInvarianceError) -> Problem:
        """A problem out of an error."""
        return cls(str(error.where), error.what, error.hint)


def is_projections(description: str) -> bool:
    """Whether a SeriesDescription names raw projections, which some archives store as CT images."""
    return "projection" in description.lower()


_COLLECTION_ID = re.compile(r"([CLN])\d{3}")  # of LDCT-and-Projection-data
_OF_COLLECTION = {"C": "chest", "L": "abdomen", "N": "head"}
_WORDS = (
    ("head", r"HEAD|BRAIN|SKULL|CRANI|NEURO|SCHAEDEL|KOPF"),
    ("chest", r"CHEST|THORA|LUNG"),
    ("abdomen", r"ABDO|LIVER|PELVIS|LEBER"),
    ("neck", r"NECK|HALS"),
)


def anatomy_of(patient_id: str, *texts: str) -> str:
    """The part of the body: of LDCT-and-Projection-data from the patient's id, else from the first text that tells.

    Args:
        patient_id: PatientID.
        texts: BodyPartExamined first, then descriptions.
    """
    if known := _COLLECTION_ID.fullmatch(patient_id):
        return _OF_COLLECTION[known[1]]
    for text in texts:
        for anatomy, pattern in _WORDS:
            if re.search(pattern, text.upper()):
                return anatomy
    return texts[0].lower() if texts else ""
