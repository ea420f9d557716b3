"""Slices of many patients in memory, and patches drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .config import DataConfig
from .errors import DataError, VolumeError
from .low_dose import simulate_low_dose
from .normalization import normalize
from .pairs import SeriesPair, read_pair
from .protocol import Progress, part, unheard

_TISSUE_HU = -500.0
_TISSUE_FRACTION = 0.1
_REDRAWS = 4


@dataclass(frozen=True)
class PatientSlices:
    """One patient's aligned slices.

    Attributes:
        patient_id: as in the DICOM header, or the file's name.
        low_dose: (slices, rows, columns), HU, int16 or float32.
        full_dose: the same shape.
    """

    patient_id: str
    low_dose: np.ndarray
    full_dose: np.ndarray


class Patches:
    """Draws aligned low- and full-dose patches, every patient equally likely.

    Args:
        patients: at least one.
        skip_air: draw again, up to four times, where less than a tenth of the patch is tissue.
    """

    def __init__(self, patients: Sequence[PatientSlices], *, skip_air: bool = True) -> None:
        self.patients, self._skip_air = tuple(patients), skip_air

    def draw(self, count: int, size: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`count` pairs of patches, (count, 1, size, size) each, normalised, turned and mirrored by chance.

        Raises:
            VolumeError: a slice is smaller than the patch.
        """
        low, full = zip(*(self._draw_one(size, generator) for _ in range(count)), strict=True)
        return normalize(torch.from_numpy(np.stack(low)))[:, None], normalize(
            torch.from_numpy(np.stack(full))
        )[:, None]

    def margin(self, size: int, wanted: int) -> int:
        """How many of the wanted pixels around a patch of that size all slices have room for."""
        sides = [side for patient in self.patients for side in patient.full_dose.shape[1:]]
        return max(0, min(wanted, (min(sides) - size) // 2))

    def _draw_one(self, size: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        low = full = np.empty(0)
        for _ in range(_REDRAWS if self._skip_air else 1):
            chances = torch.rand(6, generator=generator, dtype=torch.float64).tolist()
            patient = self.patients[int(chances[0] * len(self.patients))]
            slices, rows, columns = patient.full_dose.shape
            if min(rows, columns) < size:
                raise too_small(patient.patient_id, (rows, columns), size)
            k = int(chances[1] * slices)
            top, left = int(chances[2] * (rows - size + 1)), int(chances[3] * (columns - size + 1))
            window = (k, slice(top, top + size), slice(left, left + size))
            low, full = patient.low_dose[window], patient.full_dose[window]
            if (full > _TISSUE_HU).mean() >= _TISSUE_FRACTION:
                break
        # Mirrored patients exist: supine and prone, left and right. Patients turned by a quarter do not.
        flips = (
            slice(None, None, -1 if chances[4] < 0.5 else 1),
            slice(None, None, -1 if chances[5] < 0.5 else 1),
        )
        return low[flips].astype(np.float32), full[flips].astype(np.float32)


def too_small(where: object, shape: tuple[int, int], size: int) -> VolumeError:
    """The error for slices that are smaller than a patch."""
    return VolumeError(
        f"slices of {shape[0]}×{shape[1]} pixels are smaller than a patch of {size}×{size}",
        where=where,
        hint="Use a volume with larger slices, or train with a smaller patch_size.",
    )


def load_patients(
    pairs: Sequence[SeriesPair],
    config: DataConfig,
    *,
    seed: int,
    progress: Progress = unheard,
) -> list[PatientSlices]:
    """Read every pair, simulating the low dose where there is none; several pairs of a patient are joined.

    Raises:
        DataError: nothing could be read.
    """
    patients: dict[str, list[PatientSlices]] = {}
    for number, pair in enumerate(pairs):
        low, full = read_pair(pair)
        if low is None:
            own = part(progress, number / len(pairs), (number + 1) / len(pairs))
            low = simulate_low_dose(full, config.dose, seed=seed + number, progress=own)
        patients.setdefault(pair.patient_id, []).append(PatientSlices(pair.patient_id, low.hu, full.hu))
        progress((number + 1) / len(pairs))
    if not patients:
        raise DataError(
            "there are no series to train on", hint="`ctinvariance pairs SOURCE` shows what is found."
        )
    return [slices for several in patients.values() for slices in several]
