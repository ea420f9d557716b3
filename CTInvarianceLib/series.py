"""CT series, put together from the headers of their files, and what is wrong with those that cannot be."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .decoders import missing_decoder
from .dicom_geometry import SlicePlane, slice_plane, stack
from .dicom_tags import CT_IMAGE_STORAGE, MULTI_FRAME_CT, DicomHeader
from .errors import CTInvarianceError, DicomError, GeometryWarning, TiltWarning
from .protocol import Progress, unheard
from .volume import CTVolume

_ALIKE_DIGITS = 3  # of spacing (mm) and direction cosines, within one series


@dataclass(frozen=True)
class CTSeries:
    """One CT series on disk.

    Attributes:
        patient_id: PatientID; the StudyInstanceUID where there is none.
        series_uid: SeriesInstanceUID; empty for a volume file.
        description: SeriesDescription.
        files: in the order of the slices where headers are known.
        study_uid: StudyInstanceUID.
        anatomy: "chest", "abdomen", "head", another body part, or "" where nothing says it.
        kernel: of the reconstruction, such as "B30f".
        shape: slices, rows, columns; 0 where only reading it would tell.
        spacing: distance of neighbours along i (columns), j (rows) and k (slices), mm; 0 likewise.
        headers: of the files, in their order; empty for a volume file.
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

    def read(self, *, progress: Progress = unheard) -> CTVolume:
        """The volume.

        Raises:
            VolumeError: see `read_volume`.
        """
        from .volume_files import read_volume

        if len(self.files) == 1:
            return read_volume(self.files[0])
        return read_volume(self.files, series=self.series_uid or None)

    def only(self, slices: Sequence[int]) -> CTSeries:
        """Some of its slices."""
        files, headers = tuple(self.files[k] for k in slices), tuple(self.headers[k] for k in slices)
        return replace(self, files=files, headers=headers, shape=(len(files), *self.shape[1:]))

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


def why_left_out(header: DicomHeader) -> str:
    """Why an image is none to look at, though nothing is wrong with it; "" for CT slices and what should be some."""
    if header.modality != "CT":
        return f"{header.modality or 'no modality'}, not CT"
    if header.localizer:
        return "localizers"
    if is_projections(header.description):
        return "projections"
    if header.sop_class not in (CT_IMAGE_STORAGE, *MULTI_FRAME_CT):
        return "secondary captures and other objects"
    return ""


def is_projections(description: str) -> bool:
    """Whether a SeriesDescription names raw projections, which some archives store as CT images."""
    return "projection" in description.lower()


def series_of(headers: Iterable[DicomHeader]) -> tuple[list[CTSeries], list[Problem]]:
    """CT slices grouped to series, each in the order of its slices; and what had to be left out, or is unusual.

    A series is what shares SeriesInstanceUID, patient, study, description, size, spacing and orientation: two that
    share no more than the UID stay apart. Copies of an image count once.
    """
    problems: list[Problem] = []
    groups: dict[tuple[object, ...], list[DicomHeader]] = {}
    seen: dict[tuple[object, ...], Path] = {}
    for header in headers:
        identity = (header.instance_uid, header.series_uid, header.patient_id, header.position, header.size)
        if problem := _unusable(header, seen.get(identity) if header.instance_uid else None):
            problems.append(problem)
            continue
        seen[identity] = header.path
        groups.setdefault(_key(header), []).append(header)
    problems += _shared_uids(groups)
    found = []
    for several in groups.values():
        series, unusual = _series(several)
        problems += unusual
        if series:
            found.append(series)
    return found, problems


def _key(header: DicomHeader) -> tuple[object, ...]:
    alike = (*header.spacing, *header.orientation)
    return (
        header.series_uid or str(header.path.parent),
        header.patient_id,
        header.study_uid,
        header.description,
        header.size,
        tuple(round(value, _ALIKE_DIGITS) for value in alike),
    )


def _unusable(header: DicomHeader, original: Path | None) -> Problem | None:
    """Why a file that should be a CT slice is none."""
    where = str(header.path)
    if original:
        return Problem(where, f"is a copy of {original}, which is used", "Remove one of them.")
    if header.frames > 1 or header.sop_class in MULTI_FRAME_CT:
        return Problem(
            where,
            "multi-frame (enhanced) DICOM is not supported yet",
            "Load it in 3D Slicer and save it as .nrrd, or export single-frame slices.",
        )
    if header.colour:
        return Problem(where, "a colour image, not CT")
    if header.truncated:
        return Problem(where, "the file ends before its pixels do", "Copy or export it again.")
    if error := missing_decoder(header.syntax, header.path):
        return Problem.of(error)
    return None


def _shared_uids(groups: dict[tuple[object, ...], list[DicomHeader]]) -> list[Problem]:
    """Series that share a UID and are different series all the same."""
    places: dict[object, list[str]] = {}
    for key, headers in groups.items():
        places.setdefault(key[0], []).append(str(headers[0].path))
    return [
        Problem(str(uid), f"{len(first)} different series share this SeriesInstanceUID ({', '.join(first)})")
        for uid, first in places.items()
        if len(first) > 1
    ]


def _series(headers: list[DicomHeader]) -> tuple[CTSeries | None, list[Problem]]:
    """One group as a series, None where its slices form no stack."""
    first = headers[0]
    names = f"patient {first.patient_id}, series {first.series_uid or first.path.parent}"
    try:
        model = slice_plane(first)
        usable, problems = _planes(headers, model)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            ordered, affine = stack(usable, names)
    except DicomError as error:
        return None, [Problem.of(error)]
    for warning in said:
        if issubclass(warning.category, GeometryWarning) and not issubclass(warning.category, TiltWarning):
            problems.append(Problem(names, str(warning.message).removesuffix(f": {names}")))
    by_path = {header.path: header for header in headers}
    sorted_headers = tuple(by_path[plane.path] for plane in ordered)
    i, j, k = np.linalg.norm(affine[:3, :3], axis=0).round(6).tolist()
    series = CTSeries(
        first.patient_id or first.study_uid,  # patients without an id must not fall together
        first.series_uid,
        first.description,
        tuple(header.path for header in sorted_headers),
        first.study_uid,
        anatomy_of(first.patient_id, first.body_part, first.study_description, first.description),
        first.kernel,
        (len(ordered), *model.shape),
        (i, j, k),
        sorted_headers,
    )
    return series, problems


def _planes(headers: list[DicomHeader], model: SlicePlane) -> tuple[list[SlicePlane], list[Problem]]:
    """The slices' planes: all like the first one's but for their position, which may be damaged."""
    planes, problems = [], []
    for header in headers:
        if len(header.position) == 3 and np.isfinite(header.position).all():
            planes.append(
                replace(
                    model, path=header.path, position=np.array(header.position), thickness=header.thickness
                )
            )
            continue
        try:
            slice_plane(header)
        except DicomError as error:
            problems.append(Problem.of(error))
    return planes, problems


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
