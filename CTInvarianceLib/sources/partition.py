"""Which patients networks are trained on, and which are kept apart: one split for all parts of a run."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import numpy as np

from ..base import DataError
from ..config import DataConfig
from .pairs import SeriesPair

PUBLISHED_TEST = frozenset(
    (
        *("C121", "C249", "C170", "C135", "C280"),
        *("L241", "L107", "L006", "L221", "L220"),
        *("N176", "N138", "N153", "N284", "N090"),
    )
)
"""The test patients of Eulig et al., Med Phys 2024, doi:10.1002/mp.17379, in LDCT-and-Projection-data. Whoever trains
on one of them cannot compare with the published figures."""

Split = dict[str, list[str]]
"""Patient ids, sorted and disjoint, for "training", "validation" and "test"."""


def anatomies(pairs: Iterable[SeriesPair]) -> dict[str, str]:
    """The part of the body of every patient, "" where nothing tells; of several, the first that is told."""
    found: dict[str, str] = {}
    for pair in pairs:
        found[pair.patient_id] = found.get(pair.patient_id) or pair.anatomy
    return found


def split_patients(patients: Mapping[str, str], config: DataConfig, *, seed: int) -> Split:
    """Training, validation and test patients.

    Named patients come first (`validation_patients`, `test_patients`). Where no test patients are named and some are
    test patients of the published split (`PUBLISHED_TEST`), they are the test patients here too. Fractions are of
    all patients, and taken from every part of the body alike; `seed` decides who.

    Args:
        patients: patient id -> part of the body, see `anatomies`. A patient is one id, however many studies.
        config: how many, or who.
        seed: of the choice.

    Raises:
        DataError: a named patient that is not there or named twice, or none left to train on.

    Warns:
        UserWarning: nobody is kept apart because there is one patient only.
    """
    _check_named(patients, config)
    test = set(config.test_patients) or PUBLISHED_TEST & set(patients)
    rest = {
        name: part for name, part in patients.items() if name not in test | set(config.validation_patients)
    }
    rng = np.random.default_rng(seed)
    if not test:
        test = _drawn(rest, config.test * len(patients), rng, least=0)
        rest = {name: part for name, part in rest.items() if name not in test}
    validation = set(config.validation_patients)
    if not validation:
        validation = _drawn(rest, config.validation * len(patients), rng, least=1)
    training = set(rest) - validation
    if not training:
        raise DataError(
            "every patient is kept for validation or test, none is left to train on",
            hint="Give more patients, or keep fewer apart.",
        )
    if not validation | test:
        warnings.warn("one patient only: nothing is kept apart to validate on", UserWarning, stacklevel=2)
    return {"training": sorted(training), "validation": sorted(validation), "test": sorted(test)}


def _check_named(patients: Mapping[str, str], config: DataConfig) -> None:
    named = (*config.validation_patients, *config.test_patients)
    if unknown := sorted(set(named) - set(patients)):
        raise DataError(
            f"no patient {', '.join(unknown)} to keep apart",
            hint=f"The patients are {', '.join(sorted(patients))}.",
        )
    if twice := sorted(set(config.validation_patients) & set(config.test_patients)):
        raise DataError(
            f"patient {', '.join(twice)} is named for validation and for test", hint="Leave one of them away."
        )


def _drawn(patients: Mapping[str, str], wanted: float, rng: np.random.Generator, *, least: int) -> set[str]:
    """About `wanted` patients, the same share of every part of the body; always at least one stays behind."""
    total = min(max(round(wanted), least if wanted > 0 else 0), len(patients) - 1)
    groups: dict[str, list[str]] = {}
    for name in sorted(patients):
        groups.setdefault(patients[name], []).append(name)
    shares = {part: total * len(names) / len(patients) for part, names in sorted(groups.items())}
    counts = {part: int(share) for part, share in shares.items()}
    by_remainder = sorted(shares, key=lambda part: counts[part] - shares[part])  # largest first, then by name
    for part in by_remainder[: total - sum(counts.values())]:
        counts[part] += 1
    return {
        name
        for part, names in sorted(groups.items())
        for name in rng.permutation(names)[: counts[part]].tolist()
    }
