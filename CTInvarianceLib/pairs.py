"""Which low-dose series belongs to which full-dose series."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .dicom import files_under, slice_positions
from .dicom_tags import CT_IMAGE_STORAGE, DicomHeader, read_header
from .errors import DataError, DicomError, PairingWarning
from .volume import CTVolume
from .volume_files import PathLike, as_paths, read_volume, volume_suffix

SAME_PLACE_MM = 1e-3
"""Largest distance between the same voxel of a low-dose and a full-dose volume."""

_DOSES = {dose: re.compile(rf"{dose}[ _-]?dose", re.IGNORECASE) for dose in ("low", "full")}
_NAMED = re.compile(r"(?P<patient>.+)[._-](?P<dose>low|full)", re.IGNORECASE)


@dataclass(frozen=True)
class CTSeries:
    """One CT series on disk; series_uid is empty for a volume file."""

    patient_id: str
    series_uid: str
    description: str
    files: tuple[Path, ...]

    def read(self) -> CTVolume:
        """The volume, as `read_volume`: unusable geometry is an error here, not in `find_pairs`."""
        if len(self.files) == 1:
            return read_volume(self.files[0])
        return read_volume(self.files, series=self.series_uid)


@dataclass(frozen=True)
class SeriesPair:
    """A full-dose series and the low-dose series of the same scan; low_dose is None without one."""

    low_dose: CTSeries | None
    full_dose: CTSeries
    patient_id: str


def find_pairs(source: PathLike | Sequence[PathLike]) -> list[SeriesPair]:
    """Pairs and single series of a folder tree, of one file, or of a list of these; sorted by patient.

    Two series pair up when they share the PatientID and their SeriesDescriptions hold "low dose" and
    "full dose" in any case, as in LDCT-and-Projection-data (doi 10.7937/9npb-2637); volume files when they
    are named `<patient>.low.nrrd` and `<patient>.full.nrrd` (also with - or _). Every other CT series counts
    as full dose without partner. Localizers, projections and everything that is not CT are passed over.

    Raises:
        DataError: no CT series at all, or none but low dose.
        DicomError: a single file that is damaged.

    Warns:
        PairingWarning: several candidates for one patient, low dose without full dose, damaged files.
    """
    paths = as_paths(source)
    files = list(dict.fromkeys(file for path in paths for file in _files(path)))
    found = [*_volume_series(files), *_dicom_series(files)]
    pairs, unclear = pair_series(found)
    for patient, problem in unclear.items():
        warnings.warn(PairingWarning(f"patient {patient}: {problem}"), stacklevel=2)
    if not pairs:
        raise DataError(
            "low-dose series without full dose" if found else "no CT series",
            where=", ".join(map(str, paths)) or None,
            hint="Choose a folder with DICOM files or volumes (.nrrd .nii.gz .mha).",
        )
    return pairs


def pair_series(found: Iterable[CTSeries]) -> tuple[list[SeriesPair], dict[str, str]]:
    """Pairs and single series as `find_pairs` forms them; and by patient id, what is not clear about whom."""
    patients: dict[str, list[CTSeries]] = {}
    for series in sorted(
        found, key=lambda each: (each.patient_id, each.description, each.series_uid, each.files)
    ):
        patients.setdefault(series.patient_id, []).append(series)
    pairs: list[SeriesPair] = []
    unclear = {}
    for patient, several in patients.items():
        of_patient, problem = _of_patient(patient, several)
        pairs += of_patient
        if problem:
            unclear[patient] = problem
    return pairs, unclear


def dose_of(description: str) -> str:
    """What a SeriesDescription says of the dose: "low", "full", or "" where it says nothing."""
    return next((dose for dose, pattern in _DOSES.items() if pattern.search(description)), "")


def is_projections(description: str) -> bool:
    """Whether a SeriesDescription names raw projections, which some archives store as CT images."""
    return "projection" in description.lower()


def read_pair(pair: SeriesPair) -> tuple[CTVolume | None, CTVolume]:
    """Low-dose and full-dose volume, voxel for voxel at the same place; None where there is no low dose.

    Raises:
        DataError: the volumes differ in size, or a slice or voxel lies elsewhere by more than 1e-3 mm.
        VolumeError: see `read_volume`.
    """
    full = pair.full_dose.read()
    if pair.low_dose is None:
        return None, full
    low = pair.low_dose.read()
    if low.shape != full.shape:
        difference = f"{low.shape} and {full.shape} voxels"
    elif (distance := _distance(pair.low_dose, low, pair.full_dose, full)) > SAME_PLACE_MM:
        difference = f"voxels up to {distance:.3f} mm apart"
    else:
        return low, full
    raise DataError(
        f"low and full dose do not match: {difference}",
        where=f"{low.source} and {full.source}",
        hint="Export both series of the scan completely and with the same reconstruction grid.",
    )


def _distance(low_series: CTSeries, low: CTVolume, full_series: CTSeries, full: CTVolume) -> float:
    """Largest distance of corresponding voxels, mm: the corners, and every slice where DICOM tells."""
    slices, rows, columns = low.shape
    corners = np.meshgrid((0, columns - 1), (0, rows - 1), (0, slices - 1))
    apart = [low.position(*corners) - full.position(*corners)]
    if low_series.series_uid and full_series.series_uid:
        # Each series may lack another slice and still begin, end and count like its partner.
        places = [
            slice_positions(series.files, where=series.files[0]) for series in (low_series, full_series)
        ]
        apart.append(places[0] - places[1])
    return float(max(np.linalg.norm(vectors, axis=-1).max() for vectors in apart))


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise DataError("there is no such file or folder", where=path, hint="Check the path.")
    return files_under(path) if path.is_dir() else [path]


def _volume_series(files: Iterable[Path]) -> Iterator[CTSeries]:
    """One series per volume file, except sequences: those are results."""
    for path in files:
        suffix = volume_suffix(path)
        if suffix is None or path.name.lower().endswith(f".seq{suffix}"):
            continue
        stem = path.name[: -len(suffix)]
        named = _NAMED.fullmatch(stem)
        patient = named["patient"] if named else stem
        description = f"{named['dose'].lower()} dose" if named else stem
        yield CTSeries(patient.split(".")[0], "", description, (path,))


def _dicom_series(files: Sequence[Path]) -> Iterator[CTSeries]:
    """DICOM files grouped by SeriesInstanceUID, from their headers."""
    groups: dict[str, list[DicomHeader]] = {}
    for path in files:
        if volume_suffix(path):
            continue
        try:
            header = read_header(path)
        except DicomError as error:
            if len(files) == 1:
                raise
            warnings.warn(PairingWarning(f"left out: {error}"), stacklevel=3)
            continue
        if (
            header
            and header.modality == "CT"
            and header.sop_class == CT_IMAGE_STORAGE
            and not header.localizer
        ):
            groups.setdefault(header.series_uid, []).append(header)
    for uid, headers in groups.items():
        first = headers[0]
        if not is_projections(first.description):
            # Anonymised files may lack the PatientID; patients without one must not fall together.
            patient = first.patient_id or first.study_uid
            yield CTSeries(patient, uid, first.description, tuple(header.path for header in headers))


def _of_patient(patient: str, series: Sequence[CTSeries]) -> tuple[list[SeriesPair], str]:
    """The pair of one patient where it is certain, then all other series that are not low dose; what is unclear."""
    low = [each for each in series if dose_of(each.description) == "low"]
    full = [each for each in series if dose_of(each.description) == "full"]
    others = [each for each in series if each not in low]
    if len(low) == len(full) == 1:
        others.remove(full[0])
        pair = SeriesPair(low[0], full[0], patient)
        return [pair, *(SeriesPair(None, each, patient) for each in others)], ""
    problem = ""
    if low:
        names = ", ".join(each.series_uid or each.files[0].name for each in (*low, *full))
        problem = f"{len(low)} low-dose and {len(full)} full-dose series, not paired ({names})"
    return [SeriesPair(None, each, patient) for each in others], problem
