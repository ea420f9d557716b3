"""Samples as they are shipped, flow and correction together, where the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from textures import Filter, blur, spectrum, texture

from CTInvarianceLib.base import VolumeError
from CTInvarianceLib.config import FlowConfig, Question
from CTInvarianceLib.embedding import CompleteEmbedding
from CTInvarianceLib.flow import ConvolutionalFlow, ImageFlow, Seen
from CTInvarianceLib.sampling import TrainedLayer, sample_invariances
from CTInvarianceLib.tensors import (
    STD,
    denormalize,
    filtered,
    power_of,
    principal_components,
    ring_means,
)
from CTInvarianceLib.training import PatchPool, fit_image_flow, see_layer
from CTInvarianceLib.trust import FUNCTIONALS, calibrate
from CTInvarianceLib.volumes import Region

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE, PATCHES, DOSE = 64, 160, 0.25
CONFIG = FlowConfig(steps=100, batch_size=32, blocks=2, hidden=32, learning_rate=3e-3)


def scans(count: int, *, seed: int, side: int = SIDE) -> tuple[torch.Tensor, torch.Tensor]:
    """Low and full dose of nothing: noise whose spectrum at low dose is that of `textures.spectrum`."""
    full = texture(count, side, seed=seed) * DOSE**0.5
    return full + texture(count, side, seed=seed + 5000) * (1 - DOSE) ** 0.5, full


def trained(denoiser: Filter, *, shuffled: bool = False, wide: float = 1.0) -> TrainedLayer:
    """A layer with its flow, or with one that is wrong on purpose."""
    denoiser.eval().requires_grad_(False)
    low, full = scans(PATCHES, seed=1)
    pool = PatchPool(low, full, Region(0, 0, SIDE, SIDE), torch.ones(PATCHES))
    look = see_layer(pool, denoiser, "1", tolerances=(0.1, 2.0), dose=DOSE)
    flow = ImageFlow(ConvolutionalFlow(16, ImageFlow.maps(4), 2, CONFIG.blocks, CONFIG.hidden))
    fit_image_flow(flow, (low.roll(1, 0) if shuffled else low) * wide, look, CONFIG)
    return replace(without_flow(denoiser), flow=flow.eval(), tolerances=(0.1, 2.0))


def without_flow(denoiser: Filter) -> TrainedLayer:
    """A layer without a flow."""
    denoiser.eval().requires_grad_(False)
    low, _ = scans(8, seed=1)
    embedding = CompleteEmbedding(SIDE)
    embedding.start_from(principal_components(embedding.linear_samples(low), 16), 0.0)
    return TrainedLayer(denoiser, "1", "low", embedding.eval(), None, low, DOSE)


def drawn(layer: TrainedLayer, tau: float, *, n: int = 48, seed: int = 40):
    low, full = (denormalize(each[:, 0]).numpy() for each in scans(5, seed=seed))
    return sample_invariances(layer, low, Question("", "1", n, "low", 0, tau), full_dose_hu=full)


def rings(images: torch.Tensor) -> torch.Tensor:
    """Power by rings, (n, 1, H, W); in a window, as what is no longer periodic wants it."""
    window = torch.hann_window(SIDE)
    window = window[:, None] * window / window.square().mean()
    return ring_means(power_of(images * window).mean((0, 1)), SIDE)


def variance(slab) -> torch.Tensor:
    """Power of the samples around their mean, normalised units, mean over slices."""
    found = []
    for samples in slab:
        images = torch.from_numpy(samples.images)[:, None] / STD
        found.append(rings(images - images.mean(0)) * len(images) / (len(images) - 1))
    return torch.stack(found).mean(0)


def closed_form(denoiser: Filter, epsilon: float) -> torch.Tensor:
    """S ε² / (G² S + ε²), as the same window sees it in pieces of larger images that are made with it."""
    side = 2 * SIDE
    power, gain = spectrum().on(side, side), denoiser.plane(side, side).square() * denoiser.copy.copies
    white = torch.randn(200, 1, side, side, generator=torch.Generator().manual_seed(7))
    images = filtered(white, (power * epsilon**2 / (gain * power + epsilon**2)).sqrt())
    return rings(images[..., :SIDE, :SIDE])


@pytest.fixture(scope="module")
def blurred() -> TrainedLayer:
    return trained(Filter(blur))


@pytest.mark.parametrize("tau", [0.25, 1.0])
def test_variance_per_frequency_is_the_closed_forms(blurred, tau):
    slab = drawn(blurred, tau)
    expected = closed_form(blurred.denoiser, slab[0].epsilon)
    ratio = variance(slab) / expected
    assert ratio[2:28] == pytest.approx(
        torch.ones(26), abs=0.18
    )  # worst where the gain falls within few rings
    assert float(ratio[2:28].mean()) == pytest.approx(1, abs=0.05)
    for samples in slab:
        assert samples.misfit.max() < 1.1
        assert samples.proposed_misfit.mean() < 1.5
        assert samples.moved.mean() < samples.spread / 3


@pytest.mark.parametrize("tau", [0.25, 1.0])
def test_the_road_without_a_flow_has_the_closed_forms_variance_too(tau):
    layer = without_flow(Filter(blur))
    slab = drawn(layer, tau, n=32)
    ratio = variance(slab) / closed_form(layer.denoiser, slab[0].epsilon)
    assert ratio[2:28] == pytest.approx(torch.ones(26), abs=0.12)
    assert float(ratio[2:28].mean()) == pytest.approx(1, abs=0.03)
    for samples in slab:
        assert not samples.from_flow
        assert samples.misfit.max() < 1.1
        assert samples.proposed_misfit.mean() < 1.1
        assert samples.moved.mean() < samples.spread / 10
    many = drawn(layer, tau, n=5)
    np.testing.assert_allclose(many[0].images, slab[0].images[:5], atol=0.05)
    with pytest.raises(VolumeError, match="need a flow"):
        drawn(replace(layer, domain="full"), tau, n=2)


@pytest.mark.slow
def test_scaled_and_copied_layers_hide_the_same(blurred):
    spreads = {}
    for name, denoiser in {"1": Filter(), "7": Filter(scale=7.0), "8": Filter(copies=8)}.items():
        slab = drawn(trained(denoiser), 0.5)
        spreads[name] = np.mean([samples.spread for samples in slab])
        assert np.mean([samples.visibility for samples in slab]) == pytest.approx(1, abs=0.05)
        expected = closed_form(denoiser, slab[0].epsilon)
        ratio = float(variance(slab).sum() / expected.sum())
        assert ratio**0.5 == pytest.approx(1, abs=0.05)  # of the spread
    assert list(spreads.values()) == pytest.approx([spreads["1"]] * 3, rel=0.05)


def test_what_a_layer_deletes_comes_back(blurred):
    slab = drawn(blurred, 0.25)
    left = variance(slab) / closed_form(Filter(torch.zeros_like), 1.0)
    assert left[14:30] == pytest.approx(torch.ones(16), abs=0.12)  # beyond what the blur keeps
    assert float(left[1:5].max()) < 0.3
    assert np.mean([samples.visibility for samples in slab]) < 0.5


@pytest.mark.slow
def test_wrong_flows_have_to_be_moved_far(blurred):
    right = np.mean([samples.moved.mean() for samples in drawn(blurred, 0.5)])
    for name, wrong in {
        "shuffled": trained(Filter(blur), shuffled=True),
        "too wide": trained(Filter(blur), wide=1.6),
    }.items():
        slab = drawn(wrong, 0.5, n=16)
        moved = np.mean([samples.moved.mean() for samples in slab])
        assert moved > 3 * max(right, 0.5), name
        assert min(samples.proposed_misfit.mean() for samples in slab) > 1.5, name
        assert max(samples.misfit.max() for samples in slab) < 1.1, (
            name
        )  # and are within the tolerance all the same


def test_samples_depend_on_seed_and_number_not_on_how_many(blurred):
    few, many = drawn(blurred, 0.5, n=5), drawn(blurred, 0.5, n=20)
    np.testing.assert_allclose(few[0].images, many[0].images[:5], atol=0.05)
    np.testing.assert_array_equal(few[1].invariances, many[1].invariances[:5])
    assert few[0].images.std(0).min() > 0


def test_the_latents_are_those_of_the_samples(blurred):
    (samples, *_) = drawn(blurred, 0.5, n=3)
    decoded = blurred.embedding.decode(torch.from_numpy(samples.latents)).detach()
    np.testing.assert_allclose(denormalize(decoded)[:, 0], samples.images, atol=0.02)


def altered(flow: ImageFlow, **buffers: torch.Tensor) -> ImageFlow:
    """The same flow with other buffers: wrong on purpose."""
    other = ImageFlow(flow.flow, posterior=flow.posterior)
    other.load_state_dict(flow.state_dict() | buffers)
    return other.eval()


def test_the_truth_ranks_among_its_samples_by_chance():
    """Given z + ε η, the image is one of its own samples: 200 of them, 20 functionals, and no rank is preferred."""
    flow = trained(Filter(lambda f: torch.exp(-((f / 0.25) ** 2)))).flow
    assert isinstance(flow, ImageFlow)
    low, full = scans(200, seed=700)
    pool = PatchPool(low, full, Region(0, 0, SIDE, SIDE), torch.ones(200))
    denoiser = Filter(lambda f: torch.exp(-((f / 0.25) ** 2))).eval()
    seen = see_layer(pool, denoiser, "1", tolerances=(0.1, 2.0), dose=DOSE, seed=3).seen
    right = calibrate(flow, seen, low)
    assert right.chances.min() > 0.01 / FUNCTIONALS
    assert right.covered == pytest.approx(0.9, abs=0.02)
    assert (right.v_mean, right.v_std) == pytest.approx((0, 1), abs=0.03)
    assert right.v_distance < 0.01
    assert right.v_follows < 0.05
    narrow = calibrate(altered(flow, log_factors=flow.log_factors - 0.7), seen, low)
    assert (narrow.chances < 0.01 / FUNCTIONALS).sum() > 5
    assert narrow.covered < 0.84
    assert narrow.v_std > 1.3
    biased = calibrate(altered(flow, follow=flow.follow * 0.8), seen, low)
    assert (biased.chances < 0.01 / FUNCTIONALS).sum() > 3
    of_others = Seen(seen.estimate.roll(1, 0), seen.start.roll(1, 0), seen.epsilon, seen.noise)
    shuffled = calibrate(flow, of_others, low)
    assert shuffled.covered < 0.8
    assert shuffled.v_follows > 3 * right.v_follows
