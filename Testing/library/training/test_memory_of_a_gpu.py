"""A GPU whose memory does not hold a batch.

None is at hand: the only thing made up is the error, raised where a network would have asked for the memory.
"""

from __future__ import annotations

import dataclasses

import pytest
import tiny
import torch

import CTInvarianceLib as cti
from CTInvarianceLib.base import ConfigError
from CTInvarianceLib.denoisers import Chen, Yang
from CTInvarianceLib.models import load_tensors

pytestmark = pytest.mark.usefixtures("one_thread")


def with_batches_of(monkeypatch, network, most):
    """Larger batches that are to be differentiated do not fit; returns the sizes of those that are asked for."""
    plain, asked = network.forward, []

    def forward(self, x):
        if torch.is_grad_enabled() and self.training and any(p.requires_grad for p in self.parameters()):
            asked.append(len(x))
            if len(x) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return plain(self, x)

    monkeypatch.setattr(network, "forward", forward)
    return asked


def train(kind, source, out, denoisers, heard=None):
    config = tiny.config(kind)
    chosen = {
        name: dataclasses.replace(settings, layers=("1",) if name == "identity" else ())
        for name, settings in config.denoisers.items()
        if name in denoisers
    }
    plain = dataclasses.replace(config, denoisers=chosen)
    return cti.train(plain, source, out, on_event=([] if heard is None else heard).append)


def weights(out, name):
    return load_tensors(out / "denoisers" / f"{name}.safetensors")[0]


@pytest.mark.parametrize(("name", "network", "most"), [("chen", Chen, 3), ("yang", Yang, 1)])
def test_a_batch_too_large_is_halved_once_and_the_weights_are_those_of_the_whole(
    name, network, most, tiny_source, tmp_path, monkeypatch
):
    train("complete", tiny_source, tmp_path / "whole", [name])
    heard = []
    asked = with_batches_of(monkeypatch, network, most)
    train("complete", tiny_source, tmp_path / "halves", [name], heard)
    config = tiny.config().denoisers[name]
    half = config.batch_size // 2
    assert asked == [config.batch_size] + [half] * (2 * config.steps)
    notices = [
        e["message"] for e in heard if e["event"] == "log" and "memory of the GPU is full" in e["message"]
    ]
    assert len(notices) == 1
    assert notices[0].startswith(f"denoiser {name}: ")
    halves = weights(tmp_path / "halves", name)
    for key, whole in weights(tmp_path / "whole", name).items():
        torch.testing.assert_close(halves[key], whole, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", tiny.CODED)
def test_an_embedding_learns_from_halves_too(kind, tiny_source, tmp_path, monkeypatch):
    from CTInvarianceLib.models import build_embedding

    network = type(build_embedding(tiny.config(kind)))
    plain, asked = network.forward, []

    def forward(self, x, *more):
        asked.append((len(x), torch.is_grad_enabled()))
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(self, x, *more)

    monkeypatch.setattr(network, "forward", forward)
    heard = []
    train(kind, tiny_source, tmp_path / "run", ["identity"], heard)
    steps = tiny.config(kind).embedding.steps
    of_a_stage = [(4, True)] + [(2, False), (2, False), (2, True), (2, True)] * steps
    assert asked == 2 * of_a_stage
    losses = [e["value"] for e in heard if e["event"] == "metric" and e["name"] == "loss"]
    assert len(losses) == 2
    assert all(0 < value < 1e6 for value in losses)


def test_halves_that_are_too_large_as_well_are_named_and_what_is_finished_is_kept(
    tiny_source, tmp_path, monkeypatch
):
    with monkeypatch.context() as small:
        with_batches_of(small, Yang, 0)
        with pytest.raises(
            ConfigError, match=r"and half of it too: denoiser yang, batch_size\. Take a smaller"
        ):
            train("complete", tiny_source, tmp_path / "run", ["chen", "yang"])
    before = (tmp_path / "run/denoisers/chen.safetensors").stat().st_mtime_ns
    train("complete", tiny_source, tmp_path / "run", ["chen", "yang"])
    assert (tmp_path / "run/denoisers/chen.safetensors").stat().st_mtime_ns == before


def test_gradients_of_halves_are_those_of_the_whole_also_of_an_odd_batch():
    from types import SimpleNamespace

    from CTInvarianceLib.training.accumulation import Halving

    run = SimpleNamespace(
        fabric=SimpleNamespace(world_size=1, backward=lambda loss: loss.backward()),
        report=SimpleNamespace(emit=lambda *_, **__: None),
    )
    x, y = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.arange(5.0)[:, None]
    found = []
    for full in (False, True):
        halving, layer = Halving(run, "stage"), torch.nn.Linear(3, 1)
        torch.nn.init.constant_(layer.weight, 0.5)
        torch.nn.init.zeros_(layer.bias)
        failing = iter([full])

        def learn(layer=layer, halving=halving, failing=failing):
            layer.zero_grad()
            if next(failing, False):
                raise torch.OutOfMemoryError
            return halving.gradients(lambda a, b, none: {"loss": (layer(a) - b).square().mean()}, x, y, None)

        loss = halving.step(learn)["loss"]
        found.append((loss, layer.weight.grad, layer.bias.grad))
    for whole, halves in zip(*found, strict=True):
        torch.testing.assert_close(whole, halves)
