"""The one way in which benchmarks compare: a ratio, taken within one run."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Work = Callable[[], object]

# Tests share their cores with others and ask for the processor's time, which is the same on a busy machine.
CLOCK = time.process_time if os.environ.get("BENCHMARK_CLOCK") == "processor" else time.perf_counter


@dataclass(frozen=True)
class Ratio:
    """Our time over theirs: the median over pairs of runs, and the median of each side in seconds."""

    ours: float
    theirs: float
    ratio: float


def compare(ours: Work, theirs: Work, *, repeats: int = 31, warm_up: int = 5) -> Ratio:
    """Times both in pairs, one right after the other, and changes the order from pair to pair.

    What disturbs the machine disturbs both sides of a pair, so the ratio within a pair is steadier than the
    times are.
    """
    for _ in range(warm_up):
        ours()
        theirs()
    pairs = [_pair(ours, theirs, ours_first=repeat % 2 == 0) for repeat in range(repeats)]
    return Ratio(
        ours=statistics.median(ours for ours, _ in pairs),
        theirs=statistics.median(theirs for _, theirs in pairs),
        ratio=statistics.median(ours / theirs for ours, theirs in pairs),
    )


def _pair(ours: Work, theirs: Work, *, ours_first: bool) -> tuple[float, float]:
    if ours_first:
        first = _seconds(ours)
        return first, _seconds(theirs)
    first = _seconds(theirs)
    return _seconds(ours), first


def _seconds(work: Work) -> float:
    start = CLOCK()
    work()
    return CLOCK() - start
