"""Which low-dose series belongs to which full-dose series."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..base import DataError, Progress, part, unheard
from ..volumes import CTVolume
from .series import CTSeries, Problem

SAME_PLACE_MM = 1e-3
"""Largest distance between the same voxel of a low-dose and a full-dose volume."""

_DOSES = {dose: re.compile(rf"{dose}[ _-]?dose", re.IGNORECASE) for dose in ("low", "full")}


@dataclass(frozen=True)
class SeriesPair:
    """A full-dose series and the low-dose series of the same scan; low_dose is None without one."""

    low_dose: CTSeries | None
    full_dose: CTSeries
    patient_id: str

    @property
    def anatomy(self) -> str:
        """The part of the body, see `CTSeries`."""
        return self.full_dose.anatomy


def pair_series(found: Iterable[CTSeries]) -> tuple[list[SeriesPair], list[Problem]]:
    """Pairs and single series, sorted by patient; and what is not clear, or does not fit.

    Two series pair up when they share the PatientID and their SeriesDescriptions hold "low dose" and "full dose" in any
    case, as in LDCT-and-Projection-data (doi 10.7937/9npb-2637). Where a patient has several of one kind, those of
    one study pair up if they are the only ones in it; nothing is guessed beyond that. Slices pair up by
    ImagePositionPatient: those without partner are left out. Every other CT series counts as full dose without partner.
    """
    patients: dict[str, list[CTSeries]] = {}
    for series in sorted(
        found, key=lambda each: (each.patient_id, each.description, each.series_uid, each.files)
    ):
        patients.setdefault(series.patient_id, []).append(series)
    pairs: list[SeriesPair] = []
    problems: list[Problem] = []
    for patient, several in patients.items():
        of_patient, unclear = _of_patient(patient, several)
        pairs += of_patient
        problems += unclear
    return pairs, problems


def dose_of(description: str) -> str:
    """What a SeriesDescription says of the dose: "low", "full", or "" where it says nothing."""
    return next((dose for dose, pattern in _DOSES.items() if pattern.search(description)), "")


def _of_patient(patient: str, series: Sequence[CTSeries]) -> tuple[list[SeriesPair], list[Problem]]:
    """The pairs of one patient where they are certain, and all other series that are not low dose."""
    low = [each for each in series if dose_of(each.description) == "low"]
    full = [each for each in series if dose_of(each.description) == "full"]
    certain, unclear = _certain(low, full)
    pairs, problems = [], []
    for one, other in certain:
        pair, problem = _fitting(one, other)
        pairs.append(pair)
        problems += [problem] if problem else []
    taken = [id(each) for couple in certain for each in couple]
    for lows, fulls in unclear:
        names = ", ".join(each.name for each in (*lows, *fulls))
        what = f"{len(lows)} low-dose and {len(fulls)} full-dose series, not paired ({names})"
        problems.append(Problem(f"patient {patient}", what))
    rest = [each for each in series if dose_of(each.description) != "low" and id(each) not in taken]
    return [*pairs, *(SeriesPair(None, each, patient) for each in rest)], problems


Several = list[CTSeries]


def _certain(
    low: Several, full: Several
) -> tuple[list[tuple[CTSeries, CTSeries]], list[tuple[Several, Several]]]:
    """Which low dose belongs to which full dose; and what remains unclear, study by study."""
    if len(low) == len(full) == 1:
        return [(low[0], full[0])], []
    certain, unclear = [], []
    for study in dict.fromkeys(each.study_uid for each in low):
        own = [each for each in low if each.study_uid == study]
        others = [each for each in full if each.study_uid == study]
        if len(own) == len(others) == 1:
            certain.append((own[0], others[0]))
        else:
            unclear.append((own, others))
    return certain, unclear


def _fitting(low: CTSeries, full: CTSeries) -> tuple[SeriesPair, Problem | None]:
    """The pair, of those slices that lie at the same place; where the grids differ, the full dose alone."""
    patient = full.patient_id
    if not (low.headers and full.headers):  # known only when they are read
        return SeriesPair(low, full, patient), None
    alone, where = SeriesPair(None, full, patient), f"patient {patient}"
    if difference := _difference(low, full):
        what = f"low and full dose do not match: {difference}; not paired ({low.name}, {full.name})"
        return alone, Problem(where, what, "Export both with the same reconstruction grid.")
    of_low, of_full = _common(low, full)
    if not len(of_low):
        return alone, Problem(
            where, f"low and full dose share no slice; not paired ({low.name}, {full.name})"
        )
    left = [low.shape[0] - len(of_low), full.shape[0] - len(of_full)]
    if not any(left):
        return SeriesPair(low, full, patient), None
    what = f"{left[0]} low-dose and {left[1]} full-dose slices without partner are left out"
    hint = "Export both series of the scan completely."
    return SeriesPair(low.only(of_low), full.only(of_full), patient), Problem(where, what, hint)


def _difference(low: CTSeries, full: CTSeries) -> str:
    """How the grids of the slices differ; "" where they do not."""
    if low.shape[1:] != full.shape[1:]:
        return "slices of {}×{} and {}×{} pixels".format(*low.shape[1:], *full.shape[1:])
    if np.abs(np.subtract(low.spacing, full.spacing)[:2]).max() > SAME_PLACE_MM:
        return "pixels of {:.4g}×{:.4g} and {:.4g}×{:.4g} mm".format(*low.spacing[:2], *full.spacing[:2])
    if np.abs(np.subtract(low.headers[0].orientation, full.headers[0].orientation)).max() > SAME_PLACE_MM:
        return "other orientations"
    return ""


def _common(low: CTSeries, full: CTSeries) -> tuple[list[int], list[int]]:
    """Indices of the slices that both have, in their order along the normal."""
    one, other = (np.array([header.position for header in series.headers]) for series in (low, full))
    along, across = np.reshape(full.headers[0].orientation, (2, 3))
    normal = np.cross(along, across)
    depth = other @ normal  # ascending, as the slices are
    behind = np.searchsorted(depth, one @ normal).clip(0, len(depth) - 1)
    before = (behind - 1).clip(0)
    nearest = np.where(
        np.abs(depth[before] - one @ normal) < np.abs(depth[behind] - one @ normal), before, behind
    )
    near = np.linalg.norm(one - other[nearest], axis=1) <= SAME_PLACE_MM
    return np.flatnonzero(near).tolist(), nearest[near].tolist()


def read_pair(pair: SeriesPair, *, progress: Progress = unheard) -> tuple[CTVolume | None, CTVolume]:
    """Low-dose and full-dose volume, voxel for voxel at the same place; None where there is no low dose.

    Raises:
        DataError: the volumes differ in size, or their corners lie apart by more than 1e-3 mm.
        VolumeError: see `read_volume`.
    """
    if pair.low_dose is None:
        return None, pair.full_dose.read(progress=progress)
    full = pair.full_dose.read(progress=part(progress, 0, 0.5))
    low = pair.low_dose.read(progress=part(progress, 0.5, 1))
    if low.shape != full.shape:
        difference = f"{low.shape} and {full.shape} voxels"
    elif (distance := corner_distance(full.shape, low.affine, full.affine)) > SAME_PLACE_MM:
        difference = f"voxels up to {distance:.3f} mm apart"
    else:
        return low, full
    raise DataError(
        f"low and full dose do not match: {difference}",
        where=f"{low.source} and {full.source}",
        hint="Export both series of the scan completely and with the same reconstruction grid.",
    )


def corner_distance(shape: tuple[int, int, int], one: ArrayLike, other: ArrayLike) -> float:
    """Largest distance, mm, of corresponding corners of two volumes of (slices, rows, columns) with these affines."""
    slices, rows, columns = shape
    corners = np.array(
        [(i, j, k, 1) for i in (0, columns - 1) for j in (0, rows - 1) for k in (0, slices - 1)]
    )
    return float(np.linalg.norm(corners @ np.subtract(one, other).T, axis=-1).max())
