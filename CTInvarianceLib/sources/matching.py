"""Which low dose belongs to which full dose of one patient, and why two do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .overlap import difference
from .series import CTSeries

Couple = tuple[CTSeries, CTSeries]
"""Low and full dose."""


def certain_couples(low: Sequence[CTSeries], full: Sequence[CTSeries]) -> list[Couple]:
    """Which low dose belongs to which full dose, without a guess."""
    fitting = [(a, b) for a in low for b in full if not why_not(a, b)]
    certain: list[Couple] = []
    for alike in (_same_study_and_kernel, _same_study, _same_kernel, _any):
        near = [couple for couple in fitting if alike(*couple)]
        rivals = Counter(id(each) for couple in near for each in couple)
        now = [couple for couple in near if all(rivals[id(each)] == 1 for each in couple)]
        taken = {id(each) for couple in now for each in couple}
        fitting = [couple for couple in fitting if not taken & {*map(id, couple)}]
        certain += now
    return sorted(certain, key=lambda couple: low.index(couple[0]))


def _same_study(low: CTSeries, full: CTSeries) -> bool:
    return low.study_uid == full.study_uid


def _same_kernel(low: CTSeries, full: CTSeries) -> bool:
    return low.kernel == full.kernel


def _same_study_and_kernel(low: CTSeries, full: CTSeries) -> bool:
    return _same_study(low, full) and _same_kernel(low, full)


def _any(_low: CTSeries, _full: CTSeries) -> bool:
    return True


def _kernels_differ(low: CTSeries, full: CTSeries) -> bool:
    """Whether the kernels are known, and two: then noise and sharpness differ by more than the dose."""
    return bool(low.kernel and full.kernel) and low.kernel != full.kernel


def why_not(low: CTSeries, full: CTSeries) -> str:
    """Why two series are no pair, in words; "" where they may be one."""
    if low.person and full.person and low.person != full.person:
        return f"are of one id and two names, {low.person} and {full.person}"
    if _kernels_differ(low, full):
        return f"have different kernels, {low.kernel} and {full.kernel}"
    return difference(low, full)
