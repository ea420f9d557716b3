"""Patches of patients that a model set was not trained on: each one's are the same, whoever draws them."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..base import DataError, PairingWarning, Progress, VolumeError
from ..config import recognised
from ..data import Data, LeftOut, Patches, PatientSlices, as_pairs, load_patients, store_at
from ..models import Models
from ..sources import SeriesPair
from ..tensors import Processes

_PATCHES = 64  # at least, of all patients together


@dataclass(frozen=True)
class Drawn:
    """Patches of all patients in turn: the first of every patient, then the second ones.

    Attributes:
        low: (P, 1, H, W), normalised.
        full: likewise.
        trusted: so many of them, from the first on, judge the layers' samples.
        seed: of those samples.
    """

    low: Tensor
    full: Tensor
    trusted: int
    seed: int


def draw_unseen(
    models: Models,
    data: Data,
    own: Processes,
    *,
    trusted: int,
    seed: int,
    store: Path | str | None,
    progress: Progress,
) -> Drawn:
    """Every process reads its share of the patients that the models do not know, and has the patches of all.

    Args:
        models: a trained set.
        data: a source for `find_pairs`, or pairs.
        own: this process.
        trusted: patches that layers are to be judged on.
        seed: of patches and samples.
        store: folder of converted series.
        progress: gets the fraction of the share that is done.

    Raises:
        DataError: nothing but training patients.
        VolumeError: of the first series, where none can be used.
    """
    pairs = as_pairs(data)
    unseen = _unseen(pairs, recognised(models.manifest, {pair.patient_id for pair in pairs}))
    config, share = models.config, own.share(sorted({pair.patient_id for pair in unseen}))
    useless: list[LeftOut] = []
    loaded: list[PatientSlices] = []
    if share:
        loaded = load_patients(
            [pair for pair in unseen if pair.patient_id in share],
            config.data,
            seed=config.seed,
            store=store_at(store),
            left_out=useless,
            progress=progress,
        )
    names = sorted(name for names in own.gather({each.patient_id for each in loaded}) for name in names)
    _tell([each for some in own.gather([_plain(each) for each in useless]) for each in some], own, names)
    at_least = max(_PATCHES, trusted + 1, len(names))  # one more than trusted: each has a next one
    drawn = {
        name: Patches([each for each in loaded if each.patient_id == name]).draw(
            -(-at_least // len(names)), config.embedding.patch_size, seed=(seed, zlib.crc32(name.encode()))
        )
        for name in names
        if name in share
    }
    everybodys = {name: both for some in own.gather(drawn) for name, both in some.items()}
    low, full = (
        torch.stack([everybodys[name][dose] for name in names], dim=1).flatten(0, 1)[:at_least]
        for dose in range(2)
    )
    return Drawn(low, full, trusted, seed)


def _unseen(pairs: Sequence[SeriesPair], split: Mapping[str, Sequence[str]]) -> list[SeriesPair]:
    """Pairs of patients that nothing was trained on; none of those it was chosen by either, if others are left."""
    unseen = [pair for pair in pairs if pair.patient_id not in split.get("training", ())]
    if not unseen:
        raise DataError("every patient here was trained on", hint="Evaluate on other patients.")
    return [pair for pair in unseen if pair.patient_id not in split.get("validation", ())] or unseen


def _plain(useless: LeftOut) -> tuple[str, str, str, str]:
    """What is said of a series that cannot be used, and its error's parts."""
    why = useless.why
    return str(useless), why.what, str(why.where or ""), why.hint


def _tell(useless: Sequence[tuple[str, str, str, str]], own: Processes, names: Sequence[str]) -> None:
    """Warn of series that cannot be used; raises the first one's error where there are no others."""
    if useless and not names:
        _, what, where, hint = useless[0]
        raise VolumeError(what, where=where or None, hint=hint)
    for text, *_ in useless if own.leads else ():
        warnings.warn(PairingWarning(text), stacklevel=5)
