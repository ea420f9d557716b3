"""How long a job of several stages still takes, from how long its stages took so far.

A plan says how much work each stage is, in any unit; what is measured is how long a unit takes. Stages differ in that:
what is left of a stage is told by what was done of it, a stage to come by its like, and by all others where there was
none. A file is read at another speed than a network is trained at: stages that stand apart tell nothing of others.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

_OWN_SHARE = 0.05  # of a stage: by then its own speed weighs as much as what was expected of it,
_OWN_WORK = 5.0  # or, of one that takes hours, after so many units of work
_PRIOR = 10.0  # units of work that an expected speed weighs as much as
_CALM_S = 8.0  # in which what is shown follows what is measured
_MOST = 1.4  # by which what is shown changes at once


@dataclass
class _Measured:
    work: float = 0.0
    seconds: float = 0.0


class TimeLeft:
    """The time left, and how much is done, of stages whose work is planned.

    Args:
        plan: stages in their order, each with its work.
        apart: those whose speed says nothing about the others'.
    """

    def __init__(self, plan: Mapping[str, float], *, apart: Collection[str] = ()) -> None:
        self._plan, self._apart = dict(plan), frozenset(apart)
        self._done = dict.fromkeys(self._plan, 0.0)
        self._measured = {stage: _Measured() for stage in self._plan}
        self._expected: float | None = None
        self._shown: tuple[float, float] | None = None  # seconds left, and when that was shown
        self._fraction = 0.0

    def expect(self, seconds: float) -> None:
        """Say how long a unit of work will take, until it is measured."""
        self._expected = seconds

    def plan(self, stage: str, work: float) -> None:
        """Say anew how much work a stage is."""
        self._plan[stage] = work

    def skip(self, stage: str, fraction: float) -> None:
        """Note what of a stage was done without taking time."""
        self._done[stage] = fraction

    def advance(self, stage: str, fraction: float, seconds: float) -> None:
        """Note that a stage has come to a fraction, and how long that took."""
        measured = self._measured[stage]
        measured.work += max(fraction - self._done[stage], 0.0)
        measured.seconds += seconds
        self._done[stage] = fraction

    @property
    def fraction(self) -> float:
        """How much of the whole is done, 0 to 1; never less than it was."""
        done = sum(self._plan[stage] * share for stage, share in self._done.items())
        now = min(1.0, done / max(sum(self._plan.values()), 1e-9))
        self._fraction = max(self._fraction, now)
        return self._fraction

    def at(self, now: float) -> float | None:
        """Seconds left, to be shown: follows what is measured within some seconds, without jumps; None: unknown."""
        left = self._left()
        if left is None:
            return None
        if self._shown is not None and left > 0:
            before, when = self._shown
            expected = max(before - (now - when), 0.0)
            change = math.log((left + 1) / (expected + 1)) * -math.expm1((when - now) / _CALM_S)
            most = math.log(_MOST)
            left = (expected + 1) * math.exp(min(max(change, -most), most)) - 1
        self._shown = max(left, 0.0), now
        return self._shown[0]

    def _left(self) -> float | None:
        """Seconds left as measured; None where something to come has no like that was."""
        total = 0.0
        for stage, work in self._plan.items():
            share = 1 - self._done[stage]
            if share <= 0 or work <= 0:
                continue
            if (speed := self._seconds_per_unit(stage)) is None:
                return None
            total += work * share * speed
        return total

    def _seconds_per_unit(self, stage: str) -> float | None:
        own, work = self._measured[stage], self._plan[stage]
        expected = self._of_others(stage)
        if expected is None:
            return own.seconds / (own.work * work) if own.work > 0 else None
        prior = min(_OWN_SHARE * work, _OWN_WORK)
        return (own.seconds + prior * expected) / (own.work * work + prior)

    def _of_others(self, stage: str) -> float | None:
        """What the stages of the same kind, and then all, make one expect of a stage: seconds per unit."""
        if stage in self._apart:
            return None if self._expected is None else 1.0
        together = [other for other in self._plan if other not in self._apart]
        alike = [other for other in together if _kind(other) == _kind(stage)]
        return self._speed(alike, self._speed(together, self._expected))

    def _speed(self, stages: Collection[str], prior: float | None) -> float | None:
        work = sum(self._measured[stage].work * self._plan[stage] for stage in stages)
        seconds = sum(self._measured[stage].seconds for stage in stages)
        if prior is not None:
            return (seconds + _PRIOR * prior) / (work + _PRIOR)
        return seconds / work if work > 0 else None


def _kind(stage: str) -> str:
    return stage.split(" ", maxsplit=1)[0]
