"""The numbers that go with every draw, by hand, and for programs that are wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from textures import Filter, blur, spectrum, texture

from CTInvarianceLib.denoisers import View
from CTInvarianceLib.tensors import STD
from CTInvarianceLib.tolerance import LocalLayer, Noise
from CTInvarianceLib.trust import gather_evidence
from CTInvarianceLib.volumes import Region

NOISE = Noise(spectrum(), 0.25)


def evidence(denoiser, samples, image, **changes):
    layer = LocalLayer(denoiser, "1", View(image, Region.whole(image)))
    settings = {"noise": NOISE, "quiet": image * 0, "epsilon": 0.01, "batch": 7, **changes}
    return gather_evidence(layer, samples, **settings)


def test_the_numbers_by_hand():
    image, denoiser = texture(1, 64), Filter(blur)
    samples = image + texture(20, 64, seed=1)
    found = evidence(denoiser, samples, image)
    z, of_samples = denoiser(image), denoiser(samples)
    change = (of_samples - z) * STD
    np.testing.assert_allclose(found.output_change, change.square().mean((1, 2, 3)).sqrt(), rtol=1e-4)
    np.testing.assert_allclose(found.output_change_most, change.abs().amax((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(
        found.output_change_95, np.quantile(change.abs().flatten(1).numpy(), 0.95, axis=1), rtol=1e-2
    )
    np.testing.assert_allclose(found.distances, (of_samples - z).flatten(1).norm(dim=1), rtol=1e-4)
    np.testing.assert_allclose(found.misfit, found.distances / 64 / 0.01, rtol=1e-6)
    through = (of_samples - of_samples.mean(0)).square().sum() / (samples - samples.mean(0)).square().sum()
    assert found.passes == pytest.approx(float(through.sqrt()), rel=1e-4)
    assert found.arrives == pytest.approx(float(of_samples.var(0).mean().sqrt()) * STD, rel=1e-3)


@pytest.mark.parametrize("denoiser", [Filter(), Filter(scale=7.0), Filter(copies=8)])
def test_layers_that_keep_everything_hide_no_more_than_noise(denoiser):
    image = texture(1, 64)
    found = evidence(denoiser, image + texture(32, 64, seed=1) / 3, image)
    assert found.visibility == pytest.approx(1, abs=0.05)
    assert found.passes == pytest.approx(denoiser.scale * denoiser.copy.copies**0.5, rel=1e-3)


def test_differences_that_know_nothing_of_the_layer_pass_as_noise_does():
    image = texture(1, 64)
    found = evidence(Filter(blur), image + texture(32, 64, seed=1), image)
    assert found.visibility == pytest.approx(1, abs=0.05)
    assert found.displaced_passes == pytest.approx(found.passes, rel=0.05)


def test_differences_where_the_layer_is_blind_do_not_pass():
    image, denoiser = texture(1, 64), Filter(lambda f: (f < 0.2).float())
    hidden = texture(32, 64, seed=1) - denoiser(texture(32, 64, seed=1))
    found = evidence(denoiser, image + hidden, image)
    assert found.visibility < 0.01
    assert found.arrives < 0.01 * float(hidden.var(0).mean().sqrt()) * STD


def test_a_constant_lets_nothing_pass():
    image = texture(1, 64)
    found = evidence(Filter(torch.zeros_like), image + texture(8, 64, seed=1), image)
    assert found.passes == 0
    assert np.isnan(found.visibility)  # of nothing, no share can be told
    assert not found.output_change.any()


def test_samples_that_do_not_differ_pass_nothing_on():
    image = texture(1, 64)
    found = evidence(Filter(), image.expand(4, -1, -1, -1), image)
    assert np.isnan(found.passes)
    assert found.arrives == 0


def test_in_the_full_dose_domain_there_is_no_misfit():
    image = texture(1, 64)
    found = evidence(Filter(blur), image + texture(4, 64, seed=1), image, epsilon=None)
    assert np.isnan(found.misfit).all()
    assert np.isfinite(found.output_change).all()


def test_a_wrong_image_is_seen():
    """A constant of 10 HU, another noise realisation, a blurred image: R called all of them faithful."""
    image = texture(1, 64)
    epsilon = 0.5 * 0.06 / 2  # half a rescan of the identity
    wrong = {
        "another noise": image + texture(1, 64, seed=5),
        "blurred": Filter(blur)(image),
    }
    for name, sample in wrong.items():
        found = evidence(Filter(), sample, image, epsilon=epsilon)
        assert found.misfit[0] > 1.5, name
