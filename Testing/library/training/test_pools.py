"""Patches of flows come in pools that follow each other: the same ones, whoever draws them and whenever."""

from __future__ import annotations

import dataclasses

import pytest
import tiny
import torch

import CTInvarianceLib as cti
from CTInvarianceLib.base import Cancelled
from CTInvarianceLib.config import FlowConfig
from CTInvarianceLib.models import load_tensors
from CTInvarianceLib.training import ImageSource
from CTInvarianceLib.training.flow import pools
from CTInvarianceLib.training.shares import Draws, Share

FILES = ("flows/i-1-low", "flows/i-1-full")


def config(kind="complete", **flow):
    plain = tiny.config(kind, denoisers={"i": {"architecture": "identity", "layers": ["1"], "loss": "none"}})
    return dataclasses.replace(plain, flow=dataclasses.replace(plain.flow, **flow))


@pytest.mark.parametrize(("patches", "at_once", "steps"), [(27, 14, 6), (100, 30, 7), (8, 8, 3), (5, 100, 2)])
def test_pools_hold_every_patch_once_and_share_the_steps(patches, at_once, steps):
    plan = pools(FlowConfig(patches=patches, at_once=at_once, steps=steps))
    assert [number for numbers, _ in plan for number in numbers] == list(range(patches))
    assert all(0 < len(numbers) <= at_once for numbers, _ in plan)
    begun = [step for _, step in plan]
    assert begun[0] == 0
    lengths = [after - before for before, after in zip(begun, [*begun[1:], steps], strict=True)]
    assert max(lengths) - min(lengths) <= 1, "as many steps for every pool"


@pytest.mark.parametrize("kind", ["complete", "spatial"])
@pytest.mark.parametrize("ended", [0.3, 0.6])
def test_a_run_that_ends_in_any_pool_goes_on_to_the_same_weights(kind, ended, tiny_source, tmp_path):
    several = config(kind, patches=27, at_once=14, steps=6, validate_every=2)
    cti.train(several, tiny_source, tmp_path / "whole", on_event=lambda e: None)
    seen = []

    def stop():
        return any(e.get("stage") == "flows i" and e.get("stage_fraction", 0) > ended for e in seen)

    with pytest.raises(Cancelled):
        cti.train(several, tiny_source, tmp_path / "run", on_event=seen.append, should_stop=stop)
    assert not (tmp_path / "run" / f"{FILES[0]}.safetensors").exists()
    cti.train(several, tiny_source, tmp_path / "run", on_event=lambda e: None)
    for file in FILES:
        whole, run = (load_tensors(tmp_path / each / f"{file}.safetensors")[0] for each in ("whole", "run"))
        assert all(torch.equal(whole[name], run[name]) for name in whole), file


def test_a_run_ends_while_a_later_pool_is_looked_at_and_loses_no_step(tiny_source, tmp_path, monkeypatch):
    several = config(patches=28, at_once=14, steps=6)
    cti.train(several, tiny_source, tmp_path / "whole", on_event=lambda e: None)
    looked, look = [], ImageSource.pool

    def pool(self, numbers, progress):
        looked.append(numbers)
        return look(self, numbers, progress)

    monkeypatch.setattr(ImageSource, "pool", pool)
    with pytest.raises(Cancelled):
        cti.train(
            several, tiny_source, tmp_path / "run", on_event=lambda e: None, should_stop=lambda: bool(looked)
        )
    metadata = load_tensors(tmp_path / "run/checkpoints/flows-i.safetensors")[1]
    assert (looked, metadata["step"]) == ([range(14, 28)], 3)
    monkeypatch.undo()
    cti.train(several, tiny_source, tmp_path / "run", on_event=lambda e: None)
    whole, run = (load_tensors(tmp_path / each / f"{FILES[0]}.safetensors")[0] for each in ("whole", "run"))
    assert all(torch.equal(whole[name], run[name]) for name in whole)


def test_later_pools_have_other_patches_and_are_learned_from(tiny_source, tmp_path):
    """With one pool for all steps the flow is another one, though its linear part is the same."""
    one, two = (config(patches=14 * count, at_once=14, steps=6) for count in (1, 2))
    cti.train(one, tiny_source, tmp_path / "one", on_event=lambda e: None)
    cti.train(two, tiny_source, tmp_path / "two", on_event=lambda e: None)
    first, second = (load_tensors(tmp_path / each / f"{FILES[0]}.safetensors")[0] for each in ("one", "two"))
    assert torch.equal(first["log_factors"], second["log_factors"]), "set from the first pool"
    assert not torch.equal(first["flow.mixing.shift"], second["flow.mixing.shift"])


def test_shares_of_all_processes_are_the_whole():
    things = torch.arange(7.0)
    parts = [things[Share(rank, 3).rows(7)] for rank in range(3)]
    assert len({len(part) for part in parts}) == 1, "gathering wants as many from each"
    gathered = Share(0, 3, lambda own: torch.stack(parts)).whole(parts[0], 7)
    assert torch.equal(gathered, things)


def test_processes_draw_together_what_one_draws():
    def draws(rank, ranks):
        return Draws(torch.Generator().manual_seed(5), rank, ranks)

    alone = draws(0, 1)
    whole = alone.uniform(6, 2), alone.normal(6)
    for rank in range(3):
        own = draws(rank, 3)
        assert torch.equal(own.uniform(2, 2), whole[0][rank::3])
        assert torch.equal(own.normal(2), whole[1][rank::3])
