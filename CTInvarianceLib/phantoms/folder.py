"""A folder of phantoms, laid out and named as the Cancer Imaging Archive does with LDCT-and-Projection-data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import __version__
from ..base import (
    ConfigError,
    PathLike,
    Progress,
    as_path,
    part,
    require_place,
    require_replaceable,
    unheard,
    writing_folder,
)
from ..dicom import SeriesHeader, dicom_uid, slice_names, write_dicom_series
from ..files import write_volume
from .pairs import phantom_pair
from .slices import KINDS

COLLECTION = "CTInvariance-Phantoms"
"""Where the archive has the name of a data set: never that of a real one."""

_DATE = "20260101"
_SERIES = {"low": (1, "Low Dose Images"), "full": (2, "Full Dose Images")}
_MOST = {"patients": 9999, "slices": 2000, "pixels": 4096}  # as large as a study gets: beyond, a typing error
_WIDEST_MM = 100.0
_WINDOWS = {"chest": (40.0, 400.0), "abdomen": (40.0, 400.0), "head": (40.0, 80.0)}  # centre and width, HU


def phantom_source(folder: PathLike) -> Path:
    """What `find_pairs`, training and Slicer's DICOM import read of a folder that `write_phantoms` wrote."""
    return as_path(folder) / "dicom"


def write_phantoms(
    folder: PathLike,
    *,
    patients: int = 6,
    slices: int = 4,
    size: int = 256,
    pixel_mm: float = 1.5,
    dose: float = 0.25,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
    overwrite: bool = True,
    progress: Progress = unheard,
) -> list[Path]:
    """Write patients, kinds in turn, as pairs of DICOM series, HU rounded to whole numbers, and their truth::

        dicom/CTInvariance-Phantoms/P001-chest/01-01-2026-NA-NA-31415/1.000000-Low Dose Images-92653/1-001.dcm
                                                                      2.000000-Full Dose Images-58979/1-001.dcm
        truth/P001-chest.nrrd

    `phantom_source` is the part to train on; the truth lies beside it, so that nothing trains on that. Arguments
    make the files: the same ones give the same UIDs and bytes, others give other UIDs. The study of a patient appears
    whole or not at all, after its truth.

    Args:
        folder: made where it does not exist.
        patients: how many; patient n (from 0) has seed ``seed`` + n.
        slices: of each patient.
        size: rows and columns.
        pixel_mm: side of a pixel in mm.
        dose: of the low dose.
        seed: of the first patient.
        kinds: taken in turn.
        overwrite: whether the same phantoms, where they lie there already, may be replaced.
        progress: is told the fraction done, 0 to 1.

    Returns:
        The files written: low dose, full dose and truth of each patient.

    Raises:
        ConfigError: numbers out of range, other phantoms of the same names in the folder, and as `phantom_pair`.
        VolumeError: a place that cannot be written to, phantoms that may not be replaced, or other files among them.
    """
    folder = as_path(folder)
    _require_sensible(kinds, patients=patients, slices=slices, pixels=size)
    if not 0 < pixel_mm <= _WIDEST_MM:
        raise ConfigError(
            "The pixels are out of range", where=f"{pixel_mm} mm", hint=f"Give up to {_WIDEST_MM}."
        )
    # Whatever changes the pixels is part of the name: Slicer's database takes in every UID once only.
    made_of = (__version__, slices, size, pixel_mm, dose)
    people = [_Patient(n, kinds[n % len(kinds)], seed + n, made_of) for n in range(patients)]
    for person in people:
        person.require_free(folder, slices, overwrite=overwrite)
    written: list[Path] = []
    for person in people:
        pair = phantom_pair(
            person.kind,
            seed=person.seed,
            slices=slices,
            size=size,
            pixel_mm=pixel_mm,
            dose=dose,
            progress=part(progress, person.number / patients, (person.number + 1) / patients),
        )
        truth, study = person.truth_file(folder), person.study_folder(folder)
        write_volume(pair.truth, truth, overwrite=overwrite)
        files: list[Path] = []
        with writing_folder(study) as unfinished:
            for level, volume in {"low": pair.low_dose, "full": pair.full_dose}.items():
                series = unfinished / person.series_name(level)
                files += write_dicom_series(volume, series, person.header(level, dose))
        written += [*(study / file.relative_to(unfinished) for file in files), truth]
    return written


def _require_sensible(kinds: Sequence[str], **numbers: int) -> None:
    for name, number in numbers.items():
        if not 1 <= number <= _MOST[name]:
            raise ConfigError(
                f"The number of {name} is out of range", where=number, hint=f"Give 1 to {_MOST[name]}."
            )
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ConfigError(
            "There is no such phantom",
            where=", ".join(unknown) or "an empty list of kinds",
            hint=f"Choose one of {', '.join(KINDS)}.",
        )


@dataclass(frozen=True)
class _Patient:
    """The names of one phantom, in DICOM and on disk."""

    number: int  # from 0
    kind: str
    seed: int
    made_of: tuple[object, ...]

    @property
    def name(self) -> str:
        """PatientID; the data set that it imitates has C121, L107, N176."""
        return f"P{self.number + 1:03d}-{self.kind}"

    def uid(self, *what: object) -> str:
        return dicom_uid(COLLECTION, self.name, self.seed, *self.made_of, *what)

    def study_folder(self, folder: Path) -> Path:
        """The archive ends names with the last digits of UIDs."""
        day = f"{_DATE[4:6]}-{_DATE[6:]}-{_DATE[:4]}"
        return phantom_source(folder) / COLLECTION / self.name / f"{day}-NA-NA-{self.uid('study')[-5:]}"

    def series_name(self, level: str) -> str:
        number, description = _SERIES[level]
        return f"{number}.000000-{description}-{self.uid('series', level)[-5:]}"

    def truth_file(self, folder: Path) -> Path:
        return folder / "truth" / f"{self.name}.nrrd"

    def header(self, level: str, dose: float) -> SeriesHeader:
        number, description = _SERIES[level]
        share = dose if level == "low" else 1.0
        return SeriesHeader(
            patient=self.name,
            study=self.uid("study"),
            frame_of_reference=self.uid("frame of reference"),
            series=self.uid("series", level),
            number=number,
            description=description,
            derivation=f"Computed phantom, {self.kind}, seed {self.seed}, noise at {share:.4g} of the full dose",
            deidentification="Computed phantom: never was a patient",
            name=f"Phantom^{self.name}",
            study_description=COLLECTION,
            body_part=self.kind.upper(),
            kernel="SYNTHETIC",
            window=_WINDOWS[self.kind],
            date=_DATE,
            phantom=True,
        )

    def require_free(self, folder: Path, slices: int, *, overwrite: bool) -> None:
        """Two studies of one patient would be two candidates for each dose, and pair up with nobody."""
        require_place(self.truth_file(folder), overwrite=overwrite)
        files = (f"{self.series_name(level)}/{name}" for level in _SERIES for name in slice_names(slices))
        require_replaceable(self.study_folder(folder), frozenset(files), overwrite=overwrite)
        mine = self.study_folder(folder)
        others = [each for each in mine.parent.glob("*") if each != mine and not each.name.startswith(".")]
        if others:
            raise ConfigError(
                f"There is another phantom {self.name} already",
                where=others[0],
                hint="Choose another folder, or delete that one.",
            )
