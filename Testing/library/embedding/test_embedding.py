"""The embedding: its linear start against the closed form, its interface, its losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from CTInvarianceLib.base import ConfigError
from CTInvarianceLib.embedding import VectorEmbedding, kl_divergence
from CTInvarianceLib.tensors import principal_components
from CTInvarianceLib.training import Critic, critic_loss


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(20, 32 * 32, generator=generator)
    scale = torch.linspace(3, 0.3, 20)
    return (torch.randn(400, 20, generator=generator) * scale) @ basis / 10 + 0.5


def test_principal_components_are_those_of_a_full_decomposition(images):
    found = principal_components(images, 8, seed=3)
    _, singular, directions = np.linalg.svd((images - images.mean(0)).numpy(), full_matrices=False)
    np.testing.assert_allclose(found.variances, singular[:8] ** 2 / 400, rtol=1e-3)
    overlap = np.abs((found.directions.numpy() * directions[:8]).sum(1))
    np.testing.assert_allclose(overlap, 1, atol=1e-3)
    assert found.explained == pytest.approx((singular[:8] ** 2).sum() / (singular**2).sum(), rel=1e-4)


def test_the_embedding_starts_as_the_linear_optimum(images):
    embedding = VectorEmbedding(32, 8, 8)
    components = principal_components(images, 8)
    embedding.start_from(components, noise=0.1)
    x = images[:50].reshape(50, 1, 32, 32)
    with torch.no_grad():
        posterior = embedding.encode(x)
        decoded = embedding.decode(posterior.mean)
    projected = (
        images[:50] - components.mean
    ) @ components.directions.T @ components.directions + components.mean
    torch.testing.assert_close(decoded.flatten(1), projected, atol=1e-3, rtol=0)
    with torch.no_grad():
        latents = embedding.encode(images.reshape(-1, 1, 32, 32)).mean
    torch.testing.assert_close(latents.var(0, correction=0), torch.ones(8), atol=0.01, rtol=0)
    expected = (0.1 / components.variances.sqrt()).clamp(max=1)
    torch.testing.assert_close(posterior.std, expected.expand(50, -1), atol=1e-4, rtol=1e-3)


def test_shapes_features_and_sizes():
    embedding = VectorEmbedding(48, 5, 8)
    posterior = embedding.encode(torch.zeros(2, 1, 48, 48))
    assert posterior.mean.shape == posterior.std.shape == (2, 5)
    assert embedding.decode(torch.zeros(3, 5)).shape == (3, 1, 48, 48)
    assert embedding.features(torch.zeros(1, 1, 64, 80)).shape == (1, 8, 16, 20)
    with pytest.raises(ConfigError, match="multiple of 16"):
        VectorEmbedding(40, 5, 8)


def test_posterior_samples_are_seeded_and_as_wide_as_they_say():
    posterior = VectorEmbedding(32, 4, 8).encode(torch.zeros(1, 1, 32, 32))
    first, again = (posterior.sample(generator=torch.Generator().manual_seed(2)) for _ in range(2))
    assert torch.equal(first, again)


def test_kl_is_torchs():
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(6, 9, generator=generator), torch.randn(6, 9, generator=generator)
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    ).sum(1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), theirs)


def test_the_gradient_penalty_of_a_linear_critic_is_known():
    class Linear(torch.nn.Module):
        def forward(self, x):
            return 3 * x.flatten(1).sum(1, keepdim=True)

    real, fake = torch.ones(4, 1, 2, 2), torch.zeros(4, 1, 2, 2)
    loss = critic_loss(
        Linear(), real, fake, torch.rand(len(real), 1, 1, 1, generator=torch.Generator().manual_seed(0))
    )
    norm = 3 * 4**0.5  # of the gradient: four pixels, weight 3
    assert float(loss) == pytest.approx(0 - 12 + 10 * (norm - 1) ** 2)


def test_the_gradient_penalty_is_taken_patch_by_patch_between_the_two_and_can_be_learned_from():
    """C(x) = a/2 ‖x‖² has the gradient a x: penalty and its derivative by a are known at every point."""
    a = torch.tensor(0.7, requires_grad=True)

    class Quadratic(torch.nn.Module):
        def forward(self, x):
            return a / 2 * x.flatten(1).square().sum(1, keepdim=True)

    generator = torch.Generator().manual_seed(1)
    real, fake = (torch.randn(5, 1, 4, 4, generator=generator) for _ in range(2))
    weight = torch.rand(5, 1, 1, 1, generator=generator)
    loss = critic_loss(Quadratic(), real, fake, weight)
    (slope,) = torch.autograd.grad(loss, a)

    share = weight[:, :, 0, 0]
    norms = (share * real.flatten(1) + (1 - share) * fake.flatten(1)).norm(dim=1)
    halves = (fake.square().sum() - real.square().sum()) / 10
    torch.testing.assert_close(loss, 0.7 * halves + 10 * (0.7 * norms - 1).square().mean())
    torch.testing.assert_close(slope, halves + 20 * ((0.7 * norms - 1) * norms).mean())


def test_critic_sizes():
    assert Critic(64)(torch.zeros(2, 1, 64, 64)).shape == (2, 1)
    assert sum(p.numel() for p in Critic(64).features.parameters()) == 1_144_256
    with pytest.raises(ConfigError, match="too small"):
        Critic(16)
    a, b = Critic(64, 4, seed=1), Critic(64, 4, seed=1)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
