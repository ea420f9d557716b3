"""Splits: by patient, alike for every part of the body, seeded; nobody in two parts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from CTInvarianceLib.base import DataError
from CTInvarianceLib.config import DataConfig
from CTInvarianceLib.sources import CTSeries, anatomies, pair_series, split_patients
from CTInvarianceLib.sources.partition import PUBLISHED_TEST

PARTS = ("training", "validation", "test")


def people(**counts: int) -> dict[str, str]:
    return {f"{part}{k}": part for part, count in counts.items() for k in range(count)}


def collection() -> dict[str, str]:
    """The 150 patients of LDCT-and-Projection-data with low-dose images; ids but for the published ones made up."""
    rng, patients = np.random.default_rng(0), {}
    for letter, part in (("C", "chest"), ("L", "abdomen"), ("N", "head")):
        ids = {name for name in PUBLISHED_TEST if name[0] == letter}
        while len(ids) < 50:
            ids.add(f"{letter}{rng.integers(300):03d}")
        patients |= dict.fromkeys(sorted(ids), part)
    return patients


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_disjoint_complete_and_seeded(seed):
    rng = np.random.default_rng(seed)
    patients = people(**{part: int(rng.integers(0, 12)) for part in ("chest", "head", "abdomen")}) | {"x": ""}
    config = DataConfig(validation=float(rng.uniform(0.1, 0.4)), test=float(rng.uniform(0, 0.3)))
    split = split_patients(patients, config, seed=seed)
    assert tuple(split) == PARTS
    assert Counter(name for part in PARTS for name in split[part]) == Counter(list(patients))
    shuffled = {name: patients[name] for name in rng.permutation(list(patients))}
    assert split_patients(shuffled, config, seed=seed) == split


def test_every_part_of_the_body_gives_its_share():
    patients = people(chest=20, abdomen=10, head=10)
    split = split_patients(patients, DataConfig(validation=0.2, test=0.1), seed=4)
    for part, expected in (("validation", (4, 2, 2)), ("test", (2, 1, 1))):
        counted = Counter(patients[name] for name in split[part])
        assert tuple(counted[each] for each in ("chest", "abdomen", "head")) == expected
    others = [split_patients(patients, DataConfig(), seed=seed)["validation"] for seed in range(5)]
    assert len(set(map(tuple, others))) > 1


def test_the_published_split_is_recognised():
    patients = collection()
    split = split_patients(patients, DataConfig(), seed=1)
    assert set(split["test"]) == PUBLISHED_TEST
    assert [len(split[part]) for part in PARTS] == [105, 30, 15]
    assert Counter(patients[name] for name in split["validation"]) == {"chest": 10, "abdomen": 10, "head": 10}
    some = {
        name: part
        for name, part in patients.items()
        if name in ("C121", "N176") or name not in PUBLISHED_TEST
    }
    assert split_patients(some, DataConfig(test=0.3), seed=1)["test"] == ["C121", "N176"]


def test_named_patients_come_first():
    patients = people(chest=6)
    config = DataConfig(validation_patients=("chest3",), test_patients=("chest1", "chest2"))
    split = split_patients(patients, config, seed=0)
    assert split == {
        "training": ["chest0", "chest4", "chest5"], "validation": ["chest3"], "test": ["chest1", "chest2"],
    }  # fmt: skip
    named = split_patients(collection(), DataConfig(test_patients=("L221",)), seed=0)
    assert named["test"] == ["L221"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (DataConfig(validation_patients=("z",)), "no patient z to keep apart.*The patients are chest0"),
        (
            DataConfig(test_patients=("chest0",), validation_patients=("chest0",)),
            "chest0 is named for validation and",
        ),
        (DataConfig(validation_patients=("chest0",), test_patients=("chest1",)), "none is left to train on"),
    ],
)
def test_what_cannot_be_split_is_said(config, words):
    with pytest.raises(DataError, match=words):
        split_patients(people(chest=2), config, seed=0)


def test_one_patient_alone_is_trained_on():
    with pytest.warns(UserWarning, match="one patient only"):
        split = split_patients({"p": ""}, DataConfig(test=0.5), seed=0)
    assert split == {"training": ["p"], "validation": [], "test": []}


def test_a_patient_with_two_studies_is_one_patient():
    found = [
        CTSeries("p", f"1.{study}.{dose}", f"{dose} dose", (Path(f"{study}{dose}"),), study, anatomy)
        for study, anatomy in (("1", ""), ("2", "head"))
        for dose in ("low", "full")
    ]
    pairs, problems = pair_series([*found, CTSeries("q", "2.1", "full dose", (Path("q"),))])
    assert not problems
    assert len(pairs) == 3
    patients = anatomies(pairs)
    assert patients == {"p": "head", "q": ""}
    split = split_patients(patients, DataConfig(validation=0.5), seed=0)
    assert sorted(split["training"] + split["validation"]) == ["p", "q"]
