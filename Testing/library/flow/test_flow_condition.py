"""The stem and the network that turn a representation into a condition."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save
from torch.nn import functional as F

from CTInvarianceLib.base import ConfigError, DataError
from CTInvarianceLib.flow import BlockPCA, ConditionNetwork


def representation(n: int = 6, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Smooth, correlated channels with an offset."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, channels, 8, 8, generator=generator)
    fine = torch.randn(n, channels, 32, 40, generator=generator)
    return 5 + 3 * F.interpolate(coarse, (32, 40), mode="bilinear") + 0.2 * fine


def test_components_are_those_of_the_covariance():
    z = representation()
    stem = BlockPCA(3, 8)
    explained = stem.fit([z[:2], z[2:]])
    blocks = z.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).reshape(-1, 192).double()
    variances, directions = torch.linalg.eigh(blocks.T.cov(correction=0))
    leading = variances.flip(0)[:8]
    assert explained == pytest.approx(float(leading.sum() / variances.sum()), rel=1e-3)
    expected = (blocks - blocks.mean(0)) @ directions.flip(1)[:, :8] / leading.sqrt()
    ours = stem(z).permute(0, 2, 3, 1).reshape(-1, 8).double()
    # The first components are well apart; the sign of each is arbitrary.
    for k in range(3):
        assert abs(torch.corrcoef(torch.stack((ours[:, k], expected[:, k])))[0, 1]) > 0.999


def test_output_is_white_and_of_an_eighth_the_size():
    z = representation()
    stem = BlockPCA(3, 8)
    stem.fit([z])
    features = stem(z)
    assert features.shape == (6, 8, 4, 5)
    rows = features.permute(1, 0, 2, 3).flatten(1)
    assert rows.mean(1).abs().max() < 1e-3
    assert (rows.cov(correction=0) - torch.eye(8)).abs().max() < 1e-3


def test_same_seed_same_stem_without_global_randomness():
    state = torch.get_rng_state()
    stems = [BlockPCA(3, 4) for _ in range(3)]
    for stem, seed in zip(stems, (1, 1, 2), strict=True):
        stem.fit([representation()], seed=seed)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(stems[0].weight, stems[1].weight)
    torch.testing.assert_close(stems[0](representation()), stems[2](representation()), rtol=0.01, atol=0.01)


def test_sample_is_uniform_over_batches(monkeypatch):
    monkeypatch.setattr("CTInvarianceLib.flow.block_pca.MAX_ROWS", 500)
    batches = [torch.full((1, 1, 80, 80), float(value)) for value in range(20)]
    kept = BlockPCA(1, 4)._sample(batches, torch.Generator().manual_seed(0))
    assert kept.shape == (500, 64)
    counts = kept[:, 0].int().bincount(minlength=20)
    assert counts.min() >= 10
    assert counts.max() <= 45


def test_components_beyond_the_rank_are_silent():
    z = torch.zeros(8, 1, 16, 16)
    z[:, :, ::2] = torch.randn(8, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    stem = BlockPCA(1, 4)
    assert stem.fit([z]) == pytest.approx(1)
    features = stem(z)
    assert features.isfinite().all()
    assert features[:, 0].std() > 0.5
    assert features[:, 1:].abs().max() == 0


def test_nothing_of_the_stem_is_trained_and_it_is_saved_whole():
    stem = BlockPCA(3, 8)
    stem.fit([representation()])
    assert not list(stem.parameters())
    other = BlockPCA(3, 8)
    other.load_state_dict(load(save(stem.state_dict())))
    assert torch.equal(other(representation()), stem(representation()))
    assert float(other.explained_variance) == float(stem.explained_variance)


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (torch.zeros(2, 3, 30, 32), r"multiples of 8: \(2, 3, 30, 32\)"),
        (torch.zeros(2, 4, 32, 32), r"z must be \(N, 3, H, W\)"),
        (torch.zeros(3, 32, 32), "z must be"),
        (torch.zeros(2, 3, 32, 32), "not fitted"),
    ],
)
def test_stem_refuses(z, message):
    with pytest.raises(ConfigError, match=message):
        BlockPCA(3, 8)(z)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "0 blocks are too few"),
        ([torch.zeros(2, 3, 16, 16)], "8 blocks are too few"),
        ([torch.ones(8, 3, 32, 32)], "constant"),
        ([torch.full((8, 3, 32, 32), float("nan"))], "not finite"),
    ],
)
def test_stem_cannot_be_fitted_to(batches, message):
    with pytest.raises(DataError, match=message):
        BlockPCA(3, 8).fit(batches)


@pytest.mark.parametrize("grid", [(16, 16), (4, 7)])
def test_condition_network_shape_gradients_and_saving(grid):
    network = ConditionNetwork(5, grid, 12, 8)
    features = torch.randn(3, 5, *grid, generator=torch.Generator().manual_seed(0))
    condition = network(features)
    assert condition.shape == (3, 12)
    condition.square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())
    other = ConditionNetwork(5, grid, 12, 8, seed=1)
    assert not torch.equal(other(features), condition)
    other.load_state_dict(load(save(network.state_dict())))
    assert torch.equal(other(features), condition)


def test_condition_network_is_seeded():
    state = torch.get_rng_state()
    first, second = (ConditionNetwork(5, (4, 4), 12, 8, seed=3).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("shape", [(3, 5, 8, 4), (3, 4, 4, 4), (5, 4, 4)])
def test_condition_network_refuses_other_features(shape):
    with pytest.raises(ConfigError, match=r"features must be \(N, 5, 4, 4\)"):
        ConditionNetwork(5, (4, 4), 12, 8)(torch.zeros(shape))


def test_impossible_sizes():
    with pytest.raises(ConfigError, match="components must be 1 to 64: 65"):
        BlockPCA(1, 65)
    with pytest.raises(ConfigError, match="grid at least 4x4"):
        ConditionNetwork(5, (2, 16))
