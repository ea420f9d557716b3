"""The spatial embedding: its start in closed form, images of any size, how far a cell reaches, the guide."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from closeness import ULPS, assert_same, ulps_apart

from CTInvarianceLib.base import ConfigError
from CTInvarianceLib.embedding import SpatialEmbedding
from CTInvarianceLib.tensors import principal_components
from CTInvarianceLib.training import PatchCritic, critic_loss


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def embedding(factor=4, channels=3, blocks=1, *, guided=False, patch_size=32):
    """Random weights everywhere, in float64: nothing is zero that training would change."""
    module = SpatialEmbedding(patch_size, factor, channels, 6, blocks, guided=guided).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(values * fan_in**-0.5)
    return module.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    """Smooth images with an offset, (40, 1, 32, 32)."""
    return 2 + 3 * F.avg_pool2d(noise(40, 1, 36, 36, dtype=torch.float32), 5, stride=1)


@pytest.mark.parametrize(("factor", "channels"), [(4, 5), (8, 9)])
@torch.no_grad()
def test_it_starts_as_the_principal_components_of_blocks(images, factor, channels):
    module = SpatialEmbedding(32, factor, channels, 8, 1)
    samples = module.linear_samples(images)
    module.start_from(principal_components(samples, channels), noise=0.1)
    posterior = module.encode(images)
    cells = images.reshape(40, 32 // factor, factor, 32 // factor, factor).permute(0, 1, 3, 2, 4)
    blocks = cells.reshape(-1, factor**2).numpy().astype(np.float64)
    np.testing.assert_array_equal(samples.numpy(), blocks.astype(np.float32))

    mean = blocks.mean(0)
    _, singular, directions = np.linalg.svd(blocks - mean, full_matrices=False)
    deviations = singular[:channels] / len(blocks) ** 0.5
    codes = (blocks - mean) @ directions[:channels].T / deviations
    ours = posterior.mean.permute(0, 2, 3, 1).reshape(-1, channels).numpy()
    known = (ours * codes).mean(0)  # ±1 where the directions are the same
    leading = 3  # well apart from each other; those behind may turn within nearly equal variances
    np.testing.assert_allclose(np.abs(known[:leading]), 1, atol=1e-3)
    np.testing.assert_allclose(ours.T @ ours / len(ours), np.eye(channels), atol=1e-3)
    std = posterior.std.permute(0, 2, 3, 1).reshape(-1, channels).numpy()
    np.testing.assert_allclose(
        std[:, :leading], np.tile(0.1 / deviations[:leading], (len(std), 1)), rtol=1e-3
    )
    decoded = module.linear_samples(module.decode(posterior.mean)).numpy()
    projected = mean + (blocks - mean) @ directions[:channels].T @ directions[:channels]
    np.testing.assert_allclose(decoded, projected, atol=1e-3)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_shapes(factor):
    module = SpatialEmbedding(32, factor, 4, 6, 2)
    side = 32 // factor
    assert module.latent_shape == (4, side, side)
    assert module.latent_shape_of(33, 7) == (4, side + 1, -(-7 // factor))
    posterior = module.encode(torch.zeros(2, 1, 32, 32))
    assert posterior.mean.shape == posterior.std.shape == (2, 4, side, side)
    assert module.encode(torch.zeros(2, 1, 33, 7)).mean.shape == (2, *module.latent_shape_of(33, 7))
    assert module.decode(posterior.mean).shape == (2, 1, 32, 32)
    assert module.features(torch.zeros(1, 1, 20, 33)).shape == (1, 4, -(-20 // factor), -(-33 // factor))
    assert not module.fixed_size


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("size", [(37, 50), (1, 21), (5, 1), (32, 32), (61, 200)])
def test_images_of_any_size_are_continued_and_nothing_else(factor, size):
    module, x = embedding(factor), noise(2, 1, *size)
    edge = [(0, 0), (0, 0), *((0, -side % factor) for side in size)]
    continued = torch.from_numpy(np.pad(x.numpy(), edge, mode="edge"))
    for ours, theirs in zip(module.statistics(x), module.statistics(continued), strict=True):
        assert torch.equal(ours, theirs)
    decoded = module.decode(module.encode(x).mean)
    assert decoded.shape == continued.shape
    cropped = module.decode(module.encode(continued).mean)[..., : size[0], : size[1]]
    assert torch.equal(decoded[..., : size[0], : size[1]], cropped)


def test_an_image_larger_than_the_training_patch_has_the_latents_of_its_parts():
    module, x = embedding(), noise(1, 1, 80, 96)
    reach = module.radius
    whole, part = module.encode(x), module.encode(x[..., 8:, 16:])
    for name in ("mean", "std"):
        inner = getattr(whole, name)[..., 2 + reach :, 4 + reach :]
        assert_same(inner, getattr(part, name)[..., reach:, reach:])


@pytest.mark.parametrize("blocks", [1, 3])
def test_the_radius_is_right(blocks):
    """What is not a number spreads to all that depends on it, with whatever weight."""
    module = embedding(blocks=blocks, guided=True)
    radius, cells = module.radius, 2 * module.radius + 3
    latent, image = noise(1, 3, cells, cells), noise(1, 1, 4 * cells, 4 * cells)
    rows = torch.arange(cells)
    distance = torch.maximum((rows[:, None] - radius - 1).abs(), (rows - radius - 1).abs())
    fine = distance.repeat_interleave(4, 0).repeat_interleave(4, 1)

    def middle(maps, side):
        start = side * (radius + 1)
        return maps[..., start : start + side, start : start + side]

    def same(maps, others, side):
        return ulps_apart(middle(maps, side), middle(others, side)) <= ULPS

    known, posterior = module.decode(latent, image), module.encode(image)
    for away, changes in ((radius + 1, False), (radius, True)):
        far = torch.where(distance == away, torch.nan, latent)
        assert same(module.decode(far, image), known, 4) != changes
        far = torch.where(fine == away, torch.nan, image)
        assert same(module.decode(latent, far), known, 4) != changes
        assert same(module.encode(far).mean, posterior.mean, 1) != changes
        assert same(module.encode(far).std, posterior.std, 1) != changes


def test_a_guided_decoder_sees_the_guide_and_another_takes_none():
    module, latent = embedding(guided=True), noise(3, 3, 8, 8)
    guide = noise(3, 1, 32, 32, seed=1)
    decoded = module.decode(latent, guide)
    assert decoded.shape == (3, 1, 32, 32)
    assert (decoded - module.decode(latent, guide + 0.1)).abs().max() > 1e-3
    one = module.decode(latent, guide[:1])
    assert_same(one, module.decode(latent, guide[:1].expand(3, -1, -1, -1)))
    odd = module.decode(latent, guide[..., :31, :30])  # of an image that ends inside the last cells
    continued = F.pad(guide[..., :31, :30], (0, 2, 0, 1), mode="replicate")
    assert torch.equal(odd, module.decode(latent, continued))
    for wrong, given in ((module, ()), (embedding(), (guide,))):
        with pytest.raises(RuntimeError, match="channels"):
            wrong.decode(latent, *given)


def test_the_training_pass_is_encode_then_decode():
    module, x = embedding(guided=True), noise(2, 1, 32, 32)
    eps, guide = noise(2, 3, 8, 8, seed=1), noise(2, 1, 32, 32, seed=2)
    decoded, mean, log_variance = module(x, eps, guide)
    posterior = module.encode(x)
    assert torch.equal(mean, posterior.mean)
    torch.testing.assert_close(log_variance, 2 * posterior.std.log())
    torch.testing.assert_close(decoded, module.decode(mean + posterior.std * eps, guide))


def test_gradients_reach_every_parameter():
    module = embedding(guided=True).requires_grad_(True)
    decoded, mean, log_variance = module(noise(2, 1, 32, 32), noise(2, 3, 8, 8), noise(2, 1, 32, 32, seed=3))
    (decoded.square().sum() + mean.pow(3).sum() + log_variance.square().sum()).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_the_linear_parameters_are_those_that_the_components_set(images):
    module = SpatialEmbedding(32, 4, 3, 8, 1)
    before = {name: parameter.clone() for name, parameter in module.named_parameters()}
    module.start_from(principal_components(module.linear_samples(images), 3), noise=0.1)
    changed = {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    linear = {
        name for name, p in module.named_parameters() if any(p is q for q in module.linear_parameters())
    }
    assert len(linear) == 3
    assert changed == linear | {"posterior.bias"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch_size": 34}, "a patch of 34 pixels does not fit. Take a multiple of 4, 16 or more"),
        ({"patch_size": 12}, "multiple of 4, 16 or more"),
        ({"factor": 0}, "does not fit"),
        ({"channels": 17}, r"4×4 pixels cannot hold 17 numbers. Take 1 to 16 channels"),
        ({"channels": 0}, "cannot hold 0 numbers"),
    ],
)
def test_impossible_sizes(settings, message):
    with pytest.raises(ConfigError, match=message):
        SpatialEmbedding(**{"patch_size": 32, "factor": 4, "channels": 3, **settings})


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (16, 100)])
def test_the_patch_critic_scores_images_of_any_size_one_by_one(size):
    critic, x = PatchCritic(4), noise(3, 1, *size, dtype=torch.float32)
    scores = critic(x)
    assert scores.shape == (3, 1)
    alone = torch.cat([critic(part) for part in x.split(1)])
    torch.testing.assert_close(scores, alone, rtol=1e-4, atol=1e-5)
    assert (scores[0] - scores[1]).abs() > 1e-6


def test_the_patch_critics_gradient_penalty_is_finite_and_trains_every_weight():
    critic = PatchCritic(4)
    real, fake = noise(2, 1, 32, 32, dtype=torch.float32), noise(2, 1, 32, 32, seed=1, dtype=torch.float32)
    loss = critic_loss(
        critic, real, fake, torch.rand(len(real), 1, 1, 1, generator=torch.Generator().manual_seed(0))
    )
    loss.backward()
    assert loss.isfinite()
    weights = {name: p for name, p in critic.named_parameters() if name.endswith("weight")}
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in weights.values())


def test_the_patch_critic_is_seeded():
    state = torch.get_rng_state()
    first, again, other = (PatchCritic(4, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
