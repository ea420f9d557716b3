"""The large presets at their sizes: a few patches and steps of every stage."""

from __future__ import annotations

import dataclasses

import pytest

import CTInvarianceLib as cti
from CTInvarianceLib.config import preset
from CTInvarianceLib.models import build_denoiser, build_embedding
from CTInvarianceLib.phantoms import phantom_source, write_phantoms
from CTInvarianceLib.training import experiment, plan_work
from CTInvarianceLib.training.perceptual import VGG19Features

pytestmark = pytest.mark.slow
# A hundred for the smallest; the others' take a third of a second each on one core, and more is known of none.
STEPS = {"chen": 100, "yang": 15, "embedding": 15, "flow": 25}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, patients=2, slices=1, size=160, pixel_mm=2.5)
    return phantom_source(folder)


def shortened(name):
    """The preset with every size of a network and of a patch, few of the patches, and one layer a denoiser."""
    config = preset(name)
    last = {"chen": ("5",), "yang": ("8",)}
    return dataclasses.replace(
        config,
        embedding=dataclasses.replace(
            config.embedding, principal_patches=260, steps=STEPS["embedding"], batch_size=1
        ),
        denoisers={
            name: dataclasses.replace(each, layers=last[name], steps=STEPS[name], batch_size=1)
            for name, each in config.denoisers.items()
        },
        flow=dataclasses.replace(config.flow, patches=16, steps=STEPS["flow"], batch_size=4),
    )


@pytest.mark.parametrize("name", ["slides", "reference"])
def test_every_stage_trains_at_the_presets_sizes(name, source, tmp_path, monkeypatch):
    # Published weights are not at hand; the network is of their size.
    monkeypatch.setattr(experiment, "load_vgg19", lambda *_, **__: VGG19Features().requires_grad_(False))
    events = []
    config = shortened(name)
    cti.train(config, source, tmp_path / "run", on_event=events.append)
    losses = {}
    for event in events:
        if event["event"] == "metric" and event["name"] in ("loss", "nll"):
            losses.setdefault(event["stage"], []).append(event["value"])
    trained = {stage for stage in plan_work(config) if stage.split()[0] in ("embedding", "denoiser", "flows")}
    assert set(losses) == trained
    assert all(abs(value) < float("inf") for values in losses.values() for value in values)
    assert min(losses["denoiser chen"][1:]) < losses["denoiser chen"][0]
    assert not [event for event in events if event["event"] == "log" and "not finite" in event["message"]]
    saved = {path.stem: path.stat().st_size for path in (tmp_path / "run").rglob("*.safetensors")}
    whole = preset(name)
    sizes = {"full": build_embedding(whole), "yang": build_denoiser(whole.denoisers["yang"])}
    for part, module in sizes.items():
        assert saved[part] >= 4 * sum(each.numel() for each in module.parameters())
