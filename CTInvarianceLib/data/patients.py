"""Pairs of series as aligned slices, mapped from the store; low dose is simulated where there is none."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..base import DataError, PairingWarning, PathLike, Progress, VolumeError, part, unheard
from ..config import DataConfig
from ..sources import SAME_PLACE_MM, CTSeries, SeriesPair, corner_distance, find_pairs
from .patches import too_small
from .slices import PatientSlices
from .store import Store
from .stored_series import StoredSeries

_SIMULATED = 20.0  # times as long as it takes to convert a slice


Data = PathLike | Sequence[PathLike] | Sequence[SeriesPair]
"""A source for `find_pairs`, or pairs."""


def as_pairs(data: Data, *, progress: Progress = unheard) -> list[SeriesPair]:
    """Pairs as they are; a source is scanned for them."""
    if isinstance(data, str | os.PathLike):
        return find_pairs(data, progress=progress)
    pairs = [each for each in data if isinstance(each, SeriesPair)]
    paths = [each for each in data if not isinstance(each, SeriesPair)]
    return pairs + (find_pairs(paths, progress=progress) if paths else [])


@dataclass(frozen=True)
class Needed:
    """What a store lacks for a set of pairs.

    Attributes:
        series: number of series to convert or simulate.
        size: bytes they will take.
    """

    series: int
    size: int


@dataclass(frozen=True)
class LeftOut:
    """A pair that cannot be used, and why."""

    pair: SeriesPair
    why: VolumeError

    def __str__(self) -> str:
        """Both on one line."""
        return f"patient {self.pair.patient_id}, {self.pair.full_dose.name}, is left out: {self.why}"


def needed(pairs: Sequence[SeriesPair], config: DataConfig, store: Store, *, seed: int) -> Needed:
    """What is to be converted before training; to be shown before it starts."""
    sizes = [store.missing(*each) for each in _wanted(pairs, config, seed)]
    return Needed(sum(size > 0 for size in sizes), sum(sizes))


def load_patients(
    pairs: Sequence[SeriesPair],
    config: DataConfig,
    *,
    seed: int,
    store: Store,
    device: str = "cpu",
    least: int = 1,
    left_out: list[LeftOut] | None = None,
    progress: Progress = unheard,
) -> list[PatientSlices]:
    """Aligned slices of every pair, out of the store; what is not there is converted first.

    Series that cannot be read, simulated or aligned are left out, and the rest goes on.

    Args:
        pairs: see `find_pairs`.
        config: the dose to simulate where there is no low-dose series.
        seed: of that noise.
        store: where converted series lie.
        device: on which low dose is simulated.
        least: rows and columns that slices must have.
        left_out: gets what cannot be used; None: it is warned of, and nothing else left is an error.
        progress: gets the fraction that is done.

    Raises:
        DataError: no pairs, no room on the disk.
        VolumeError: of the first series, where none can be used.

    Warns:
        PairingWarning: what is left out.
    """
    if not pairs:
        raise DataError(
            "there are no series to train on", hint="`ctinvariance pairs SOURCE` shows what is found."
        )
    store.require_room(needed(pairs, config, store, seed=seed).size)
    shares = np.cumsum([0.0, *(_share(pair) for pair in pairs)])
    loaded, failed = [], []
    for pair, first, last in zip(pairs, shares[:-1] / shares[-1], shares[1:] / shares[-1], strict=True):
        own = part(progress, first, last)
        try:
            _require_size(pair.patient_id, pair.full_dose.shape, least)
            full = store.series(pair.full_dose, progress=part(own, 0, 0.5 if pair.low_dose else 0.05))
            if pair.low_dose:
                low = store.series(pair.low_dose, progress=part(own, 0.5, 1))
                _require_same_grid(low, full)
            else:
                low = store.low_dose(
                    pair.full_dose, config.dose, seed, device=device, progress=part(own, 0.05, 1)
                )
            _require_size(pair.patient_id, full.shape, least)
        except VolumeError as error:
            failed.append(LeftOut(pair, error))
        else:
            loaded.append(PatientSlices(pair.patient_id, low.hu, full.hu))
        own(1.0)
    if left_out is not None:
        left_out += failed
        return loaded
    if not loaded:
        raise failed[0].why
    for each in failed:
        warnings.warn(PairingWarning(str(each)), stacklevel=2)
    return loaded


def _wanted(pairs: Sequence[SeriesPair], config: DataConfig, seed: int) -> list[tuple[CTSeries, float, int]]:
    """All series that pairs need, with dose and seed of those that are simulated."""
    wanted: dict[tuple[int, float], tuple[CTSeries, float, int]] = {}
    for pair in pairs:
        wanted[id(pair.full_dose), 1.0] = (pair.full_dose, 1.0, 0)
        low = (pair.low_dose, 1.0, 0) if pair.low_dose else (pair.full_dose, config.dose, seed)
        wanted[id(low[0]), low[1]] = low
    return list(wanted.values())


def _share(pair: SeriesPair) -> float:
    """How long a pair takes, in slices that are converted."""
    return max(pair.full_dose.shape[0], 1) * (2.0 if pair.low_dose else 1.0 + _SIMULATED)


def _require_same_grid(low: StoredSeries, full: StoredSeries) -> None:
    apart = np.inf if low.shape != full.shape else corner_distance(full.shape, low.affine, full.affine)
    if apart > SAME_PLACE_MM:
        raise VolumeError(
            f"low and full dose do not match: {low.shape} and {full.shape} voxels, or at other places",
            where=f"patient {full.patient_id}, {low.files[0]} and {full.files[0]}",
            hint="Export both series of the scan completely and with the same reconstruction grid.",
        )


def _require_size(patient: str, shape: tuple[int, int, int], least: int) -> None:
    """Before anything is converted where the shape is known; 0 where it is not."""
    _, rows, columns = shape
    if rows and min(rows, columns) < least:
        raise too_small(patient, (rows, columns), least)
