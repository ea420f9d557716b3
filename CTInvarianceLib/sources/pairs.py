"""Which low-dose series belongs to which full-dose series."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..base import DataError, Progress, part, unheard
from ..volumes import CTVolume
from .dose_words import dose_of
from .identity import UNCLEAR
from .matching import certain_couples, why_not
from .overlap import SAME_PLACE_MM, common_slices, corner_distance
from .series import CTSeries, Problem
from .silent import unidentified, unspoken

NOT_SQUARE = 0.01
"""Sides of pixels that differ by more than this fraction are too different for simulated low dose."""

Several = Sequence[CTSeries]


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

    Two series pair up when they are of one patient, one is said to be low and one to be full dose (`identity` says by
    what), they lie at the same place, and neither has a partner as good: one of its own study and kernel comes first,
    then of its study, then of its kernel. Kernels that are known to differ never pair. Slices pair up by
    ImagePositionPatient: those without partner are left out. Series whose dose nothing tells count as full dose without
    partner, unless they lie where another one of their patient does: then it is asked, see `silent`.
    """
    patients: dict[str, list[CTSeries]] = {}
    for series in sorted(
        map(_with_dose, found),
        key=lambda each: (each.patient_id, each.description, each.series_uid, each.files),
    ):
        patients.setdefault(series.patient_id, []).append(series)
    everybody = [series for several in patients.values() for series in several]
    asked, problems = unidentified(everybody)
    pairs: list[SeriesPair] = []
    for patient, several in patients.items():
        of_patient, unclear = _of_patient(patient, several, asked)
        pairs += of_patient
        problems += unclear
    return pairs, problems


def _with_dose(series: CTSeries) -> CTSeries:
    return series if series.dose else replace(series, dose=dose_of(series.description))


def _of_patient(
    patient: str, series: Sequence[CTSeries], asked: set[int]
) -> tuple[list[SeriesPair], list[Problem]]:
    """The pairs of one patient where they are certain, and all other series that count as full dose.

    Args:
        patient: their id.
        series: of the patient.
        asked: ids of series (`id`) that are left out because their dose is asked for already.
    """
    low, full = ([each for each in series if each.dose == dose] for dose in ("low", "full"))
    certain = certain_couples(low, full)
    pairs, problems = [], []
    for one, other in certain:
        pair, trimmed = _trimmed(one, other)
        pairs.append(pair)
        problems += trimmed
    taken = {id(each) for couple in certain for each in couple}
    unpaired, useless = _unpaired(
        patient, [x for x in low if id(x) not in taken], [x for x in full if id(x) not in taken]
    )
    silent, questions = unspoken(patient, series)
    left = taken | useless | silent | asked
    rest = [each for each in series if each.dose in ("full", "") and id(each) not in left]
    contradictory = [
        Problem(
            f"patient {patient}, series {each.name}",
            "its description and its patient's name or id say low dose and full dose; left out",
            "Correct the one that is wrong.",
        )
        for each in series
        if each.dose == UNCLEAR
    ]
    pairs += [SeriesPair(None, each, patient) for each in rest]
    return pairs, [*problems, *unpaired, *questions, *contradictory]


def _unpaired(patient: str, low: Several, full: Several) -> tuple[list[Problem], set[int]]:
    """What to say of low dose without partner, by the full dose that may be its own; and ids of what is as useless."""
    problems, useless = [], set()
    for own, others in _candidates(low, full):
        names = ", ".join(each.name for each in (*own, *others))
        if len(own) == len(others) == 1 and (why := why_not(own[0], others[0])):
            problems.append(
                Problem(f"patient {patient}", f"low and full dose {why}; not paired ({names})", _SAME_GRID)
            )
            if own[0].affine and others[0].affine:  # whose names alone say that they are a pair
                useless.add(id(others[0]))
        else:
            what = f"{len(own)} low-dose and {len(others)} full-dose series, not paired ({names})"
            problems.append(Problem(f"patient {patient}", what))
    return problems, useless


def _candidates(low: Several, full: Several) -> Iterable[tuple[Several, Several]]:
    """Low dose together with the full dose of its study; without one, that which fits, or the only one there is."""
    groups: dict[tuple[int, ...] | str, tuple[list[CTSeries], Several]] = {}
    for each in low:
        others = [other for other in full if other.study_uid == each.study_uid]
        others = others or [other for other in full if len(low) == len(full) == 1 or not why_not(each, other)]
        key = tuple(map(id, others)) or each.study_uid
        groups.setdefault(key, ([], others))[0].append(each)
    return groups.values()


_SAME_GRID = "Export both series of the scan completely, with the same reconstruction grid and kernel."


def _trimmed(low: CTSeries, full: CTSeries) -> tuple[SeriesPair, list[Problem]]:
    """The pair, of those slices that lie at the same place."""
    patient = full.patient_id
    if not (low.headers and full.headers):
        return SeriesPair(low, full, patient), []
    of_low, of_full = common_slices(low, full)
    left = [low.shape[0] - len(of_low), full.shape[0] - len(of_full)]
    if not any(left):
        return SeriesPair(low, full, patient), []
    what = f"{left[0]} low-dose and {left[1]} full-dose slices without partner are left out"
    hint = "Export both series of the scan completely."
    pair = SeriesPair(low.only(of_low), full.only(of_full), patient)
    return pair, [Problem(f"patient {patient}", what, hint)]


def not_to_simulate(pairs: Iterable[SeriesPair]) -> list[Problem]:
    """Series without low dose of which none can be simulated, as far as headers tell: their pixels are not square."""
    return [
        Problem(
            f"patient {pair.patient_id}, series {pair.full_dose.name}",
            f"its pixels are not square ({i:.4g}×{j:.4g} mm), so that its low dose cannot be simulated",
            "Without a low-dose series it is left out of a training: resample it first.",
        )
        for pair in pairs
        if pair.low_dose is None
        for i, j, _ in [pair.full_dose.spacing]
        if abs(i - j) > NOT_SQUARE * j
    ]


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
