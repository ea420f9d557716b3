"""Aligned low- and full-dose patches, every patient equally likely, the same for a seed on any number of processes.

A patch has a number. Its place and how it is turned follow from the seed and this number alone (Philox, a generator
that counts: J. K. Salmon et al., SC '11, doi:10.1145/2063384.2063405), so that whoever draws patches number
r, r + w, r + 2 w, … draws what one process alone would have drawn there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..base import VolumeError
from .slices import HostSlices, PatientSlices, Places, keep_slices

_TISSUE = 0.1  # of the pixels
_TRIES = 4  # places looked at, to find one with tissue
_NUMBERS = 4 * _TRIES + 4  # random numbers of a patch; a multiple of 4, which is what Philox makes at a time

Batch = tuple[Tensor, Tensor]
"""Low and full dose, (n, 1, rows, columns) each, normalised."""


class Patches:
    """Draws patches.

    Args:
        patients: at least one; those with one id are one patient.
        skip_air: look at up to four places, until at least a tenth of the patch is tissue.
        flips: mirror by chance, left to right and upside down.
        quarter_turns: turn by chance too.
        device: where they are wanted. Slices are kept there if it is a GPU and has room.
    """

    def __init__(
        self,
        patients: Sequence[PatientSlices],
        *,
        skip_air: bool = True,
        flips: bool = True,
        quarter_turns: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.patients = tuple(sorted(patients, key=lambda each: each.patient_id))
        self._tries = _TRIES if skip_air else 1
        self._may_turn = (flips, flips, quarter_turns)
        self._shapes = np.array([each.full_dose.shape for each in self.patients])
        # All slices in a row, patient after patient: where each series ends, and where each patient begins.
        self._ends = np.cumsum(self._shapes[:, 0])
        ids = [each.patient_id for each in self.patients]
        first = [ids.index(name) for name in dict.fromkeys(ids)]
        self._starts = (self._ends - self._shapes[:, 0])[first]
        self._counts = np.diff(np.append(self._starts, self._ends[-1]))
        self._slices = keep_slices(self.patients, torch.device(device))

    def draw(
        self, count: int, size: int, *, seed: int | Sequence[int], first: int = 0, stride: int = 1
    ) -> Batch:
        """Patches number first, first + stride, …

        Args:
            count: how many.
            size: rows and columns.
            seed: one or several integers.
            first: number of the first patch.
            stride: from one number to the next: the number of processes that share the work.

        Raises:
            VolumeError: a slice is smaller than the patch.
        """
        self._require(size)
        chances = _uniform(seed, first, stride, count)
        attempts = [self._places(chances, size, attempt) for attempt in range(self._tries)]
        chosen, open_ = np.zeros(count, np.intp), np.arange(count)
        for places in attempts[:-1]:
            empty = self._slices.tissue(places[open_], size) < _TISSUE * size**2
            open_ = open_[empty]
            chosen[open_] += 1
        low, full = self._slices.cut(Places.chosen(attempts, chosen), size)
        return low[:, None], full[:, None]

    def batches(
        self,
        count: int,
        size: int,
        *,
        seed: int | Sequence[int],
        steps: Sequence[int],
        rank: int = 0,
        ranks: int = 1,
        workers: int = 0,
    ) -> Iterator[Batch]:
        """The batch of every step: of its `count` patches, those of one rank.

        Args:
            count: patches of a step over all ranks; a multiple of `ranks`.
            size: rows and columns.
            seed: one or several integers.
            steps: their numbers; step s has patches s · count to (s + 1) · count − 1.
            rank: this process.
            ranks: how many share the work.
            workers: threads that draw ahead; they change when a batch is drawn, not what is in it.
        """

        def batch(step: int) -> Batch:
            return self.draw(count // ranks, size, seed=seed, first=step * count + rank, stride=ranks)

        return _ahead(batch, steps, workers) if workers else map(batch, steps)

    @property
    def resident(self) -> bool:
        """Whether the slices lie on the device."""
        return not isinstance(self._slices, HostSlices)

    def margin(self, size: int, wanted: int) -> int:
        """How many of the wanted pixels around a patch of that size all slices have room for."""
        return max(0, min(wanted, (int(self._shapes[:, 1:].min()) - size) // 2))

    def _require(self, size: int) -> None:
        for patient, (_, rows, columns) in zip(self.patients, self._shapes.tolist(), strict=True):
            if min(rows, columns) < size:
                raise too_small(patient.patient_id, (rows, columns), size)

    def _places(self, chances: NDArray[np.float64], size: int, attempt: int) -> Places:
        """The places that chances stand for, at the n-th attempt to find tissue."""
        patient, position, row, column = chances[:, 4 * attempt : 4 * attempt + 4].T
        who = (patient * len(self._starts)).astype(np.intp)
        number = self._starts[who] + (position * self._counts[who]).astype(np.intp)
        series = np.searchsorted(self._ends, number, side="right")
        slices, rows, columns = self._shapes[series].T
        turns = (chances[:, -4:-1] < 0.5) & self._may_turn
        return Places(
            series,
            number - (self._ends[series] - slices),
            (row * (rows - size + 1)).astype(np.intp),
            (column * (columns - size + 1)).astype(np.intp),
            *turns.T.astype(np.intp),
        )


def _uniform(seed: int | Sequence[int], first: int, stride: int, count: int) -> NDArray[np.float64]:
    """Random numbers in [0, 1) of patches first, first + stride, …: (count, _NUMBERS)."""
    key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    # Philox counts in steps of four numbers. Those of the patches in between are made and thrown away: it is cheap.
    whole = (count - 1) * stride + 1
    raw = np.random.Philox(key=key, counter=first * _NUMBERS // 4).random_raw(whole * _NUMBERS)
    numbers = raw.reshape(whole, _NUMBERS)[::stride] >> np.uint64(11)
    return numbers.astype(np.float64) * 2.0**-53


def _ahead(batch: Callable[[int], Batch], steps: Sequence[int], workers: int) -> Iterator[Batch]:
    """Batches in their order, drawn by threads that are up to two ahead each."""
    pending: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for step in steps:
                pending.append(pool.submit(batch, step))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for each in pending:
                each.cancel()


def too_small(where: object, shape: tuple[int, int], size: int) -> VolumeError:
    """The error for slices that are smaller than a patch."""
    return VolumeError(
        f"slices of {shape[0]}×{shape[1]} pixels are smaller than a patch of {size}×{size}",
        where=where,
        hint="Use a volume with larger slices, or train with a smaller patch_size.",
    )
