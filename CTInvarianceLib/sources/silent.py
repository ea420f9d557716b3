"""Series whose dose nothing tells: full dose, unless they lie where another series of the patient does."""

from __future__ import annotations

from collections.abc import Sequence

from .overlap import at_one_place
from .series import CTSeries, Problem

_SHOWN = 3  # patients that a message names
_SAY_IT = (
    'Say "low dose" or "full dose" in SeriesDescription, PatientName, or the name of a folder that they lie in: '
    'phases, or reconstructions, of one scan may share a folder "full dose".'
)


def unspoken(patient: str, series: Sequence[CTSeries]) -> tuple[set[int], list[Problem]]:
    """Ids (`id`) of series that are left out because their dose is not told and matters; and the questions.

    Two images of one place are a scan at two doses, or two reconstructions of it. Where the kernels are known and
    differ, and no dose is told of either, they are taken for the latter, aloud; everything else is asked.
    """
    if len(series) == 1 or all(each.dose for each in series):
        return set(), []
    left: dict[int, CTSeries] = {}
    kept: dict[int, CTSeries] = {}
    beside: dict[int, CTSeries] = {}
    for one, other in at_one_place(series):
        silent = [each for each in (one, other) if not each.dose]
        told = [each for each in (one, other) if each.dose]
        two_kernels = bool(one.kernel and other.kernel) and one.kernel != other.kernel
        into = kept if two_kernels and not told else left
        into.update((id(each), each) for each in silent)
        if silent:
            beside.update((id(each), each) for each in told)
    problems = []
    if left:
        names = ", ".join(each.name for each in (*left.values(), *beside.values()))
        what = f"which dose {len(left)} series at the place of another are of is not told; left out ({names})"
        if beside:
            what = f"{what}, of which {', '.join(f'{each.name} is {each.dose}-dose' for each in beside.values())}"
        problems.append(Problem(f"patient {patient}", what, _SAY_IT))
    if only := [each for key, each in kept.items() if key not in left]:
        named = ", ".join(f"{each.name} with {each.kernel}" for each in only)
        what = (
            f"{len(only)} series at one place do not tell their dose; taken for full dose at several kernels"
        )
        what = f"{what} ({named})"
        problems.append(Problem(f"patient {patient}", what, _SAY_IT))
    return {*left}, problems


def unidentified(series: Sequence[CTSeries]) -> tuple[set[int], list[Problem]]:
    """The same of series of which it is not known whose they are; and that this is so.

    Each study then counts as a patient. Series of different studies at one place are likely to be one scan.
    """
    unknown = [each for each in series if not each.known]
    studies = {each.study_uid for each in unknown}
    if len(studies) < 2:
        return set(), []
    patients = list(dict.fromkeys(each.patient_id for each in unknown))
    more = f" and {len(patients) - _SHOWN} more" if patients[_SHOWN:] else ""
    where = f"patients {', '.join(patients[:_SHOWN])}{more}"
    problems = [
        Problem(
            where,
            f"nothing tells who they are; each of {len(studies)} studies counts as a patient of its own",
            "Where two are of one person, training and validation may share that person: give PatientIDs that tell.",
        )
    ]
    left: dict[int, CTSeries] = {}
    for one, other in at_one_place(each for each in unknown if not each.dose):
        if one.study_uid != other.study_uid:
            left.update({id(one): one, id(other): other})
    if left:
        names = ", ".join(each.name for each in left.values())
        what = f"which dose {len(left)} series of different studies at one place are of is not told; left out ({names})"
        problems.append(Problem(where, what, _SAY_IT))
    return {*left}, problems
