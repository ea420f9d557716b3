"""Which patients a network is trained on, and which are kept apart."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from .config import DataConfig
from .errors import DataError


def split_patients(
    patient_ids: Sequence[str], config: DataConfig, *, seed: int
) -> tuple[list[str], list[str]]:
    """Training and validation patients: disjoint, sorted, the same for every part of a run.

    Raises:
        DataError: a validation patient that is not there, or none left to train on.
    """
    ids = sorted(set(patient_ids))
    unknown = sorted(set(config.validation_patients) - set(ids))
    if unknown:
        raise DataError(
            f"no patient {', '.join(unknown)} to validate on", hint=f"The patients are {', '.join(ids)}."
        )
    if config.validation_patients:
        validation = sorted(config.validation_patients)
    else:
        count = round(config.validation * len(ids))
        count = min(max(count, 1 if config.validation > 0 else 0), len(ids) - 1)
        validation = sorted(np.random.default_rng(seed).permutation(ids)[:count].tolist())
    training = [name for name in ids if name not in validation]
    if not training:
        raise DataError("every patient is kept for validation, none is left to train on")
    if not validation:
        warnings.warn("one patient only: nothing is kept apart to validate on", UserWarning, stacklevel=2)
    return training, validation
