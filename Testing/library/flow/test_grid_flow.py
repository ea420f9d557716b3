"""The contract of every bijection of grids, and what the convolutional flow promises about places."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from bijection_contract import BijectionContract, log_det_of_the_jacobian
from closeness import assert_same
from safetensors.torch import load, save
from torch import Tensor, nn

from CTInvarianceLib.base import ConfigError
from CTInvarianceLib.flow import ConvolutionalFlow
from CTInvarianceLib.flow.grid_coupling import GridCoupling, Injector
from CTInvarianceLib.flow.grid_step import GridStep
from CTInvarianceLib.flow.mixing import ChannelMixing

pytestmark = pytest.mark.usefixtures("one_thread")

HIDDEN, ROWS = 6, 3


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def flow(channels: int, condition: int, levels: int, steps: int = 2, *, seed: int = 0) -> ConvolutionalFlow:
    return ConvolutionalFlow(channels, condition, levels, steps, HIDDEN, condition_width=5, seed=seed)


# name: how to build it from a seed, shape of one x, shapes of its contexts, parameters or condition
BIJECTIONS: dict[str, tuple[Callable[[int], nn.Module], tuple[int, ...], tuple[tuple[int, ...], ...]]] = {
    "mixing": (lambda seed: ChannelMixing(5, generator=seeded(seed)), (5, 2, 3), ()),
    "injector": (lambda seed: Injector(), (3, 2, 4), ((6, 2, 4),)),
    **{
        f"coupling-{c}-depth{depth}": (
            lambda seed, c=c, depth=depth: GridCoupling(c, hidden=HIDDEN, depth=depth, generator=seeded(seed)),
            (c, 3, 4),
            ((HIDDEN, 3, 4),),
        )
        for c, depth in ((2, 1), (3, 2), (4, 3))
    },
    "step": (
        lambda seed: GridStep(3, hidden=HIDDEN, generator=seeded(seed)),
        (3, 3, 4),
        ((HIDDEN, 3, 4), (6, 3, 4)),
    ),
    "step-unconditional": (
        lambda seed: GridStep(4, hidden=HIDDEN, generator=seeded(seed)),
        (4, 3, 4),
        ((HIDDEN, 3, 4),),
    ),
    **{
        f"flow-{c}-levels{levels}{'' if k else '-unconditional'}": (
            lambda seed, c=c, k=k, levels=levels: flow(c, k, levels, seed=seed),
            (c, *size),
            ((k, *size),) if k else (),
        )
        for c, k, levels, size in (
            (1, 2, 1, (4, 6)), (3, 1, 1, (2, 4)), (2, 3, 2, (4, 8)), (1, 2, 3, (8, 8)), (1, 0, 1, (4, 6)),
            (3, 0, 2, (4, 4)), (1, 0, 3, (8, 8)),
        )
    },
}  # fmt: skip


def randomise(module: nn.Module, size: float = 0.5) -> None:
    """Weights as after training: no layer is zero, no scale is one."""
    generator = seeded(7)
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * size * fan_in**-0.5)


@pytest.fixture(params=BIJECTIONS)
def name(request: pytest.FixtureRequest) -> str:
    """Which bijection."""
    return request.param


@pytest.fixture
def build(name: str) -> Callable[[int], nn.Module]:
    """Makes it from a seed."""
    return BIJECTIONS[name][0]


@pytest.fixture
def case(name: str, build: Callable[[int], nn.Module]) -> tuple[nn.Module, Tensor, tuple[Tensor, ...]]:
    """It with random weights, three grids x and what they depend on, in float64."""
    _, shape, others = BIJECTIONS[name]
    bijection = build(0).double()
    randomise(bijection)
    return bijection, noise(ROWS, *shape, seed=1), tuple(noise(ROWS, *other, seed=2) for other in others)


class TestContract(BijectionContract):
    """Of grids."""

    differences = 1


def test_another_seed_has_other_weights(build):
    one, other = build(3).state_dict(), build(4).state_dict()
    assert not one or any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("clamp", [0.5, 2.0])
def test_scales_are_clamped(clamp):
    coupling = GridCoupling(4, hidden=8, clamp=clamp, generator=seeded(0)).double()
    randomise(coupling)
    _, log_det = coupling(1e9 * noise(50, 4, 3, 3), torch.zeros(1, 8, 3, 3, dtype=torch.float64))
    assert log_det.abs().max() <= clamp * 2 * 9 + 1e-9
    _, injected = Injector(clamp)(noise(1, 4, 3, 3), torch.full((1, 8, 3, 3), 1e9, dtype=torch.float64))
    assert float(injected) == pytest.approx(clamp * 4 * 9)
    scales = Injector(clamp)(torch.ones(1, 1, 1, 2), torch.tensor([[[[9e9, -9e9]], [[0.0, 0.0]]]]))[0]
    torch.testing.assert_close(scales.flatten().log(), torch.tensor([clamp, -clamp]))


def test_couplings_look_one_cell_far_and_never_at_what_they_transform():
    coupling = GridCoupling(4, hidden=8, generator=seeded(0)).double()
    randomise(coupling)
    x, context = noise(1, 4, 5, 5), torch.zeros(1, 8, 1, 1, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: coupling(x, context)[0], x)[0, :, :, :, 0]
    touched = jacobian[2:, 2, 2].abs().amax(0) > 0  # of the middle cell's transformed channels
    neighbours = torch.zeros(5, 5, dtype=torch.bool)
    neighbours[1:4, 1:4] = True
    assert all(torch.equal(part, neighbours) for part in touched[:2])
    itself = torch.zeros(5, 5, dtype=torch.bool)
    itself[2, 2] = True
    assert all(torch.equal(part, itself) for part in touched[2:])


def correlated(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Channels that are mixed, of different sizes, and far from zero."""
    x = noise(*shape, dtype=dtype)
    mix = noise(shape[1], shape[1], seed=5, dtype=dtype) + torch.eye(shape[1], dtype=dtype)
    return torch.einsum("ij,njhw->nihw", mix, x) * 30 + torch.arange(shape[1], dtype=dtype)[:, None, None] * 9


def covariance(y: Tensor) -> Tensor:
    return y.movedim(1, 0).flatten(1).cov(correction=0)


@torch.no_grad()
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_mixing_starts_as_a_rotation_and_whitens_a_batch(dtype, bound):
    mixing, x = ChannelMixing(5, generator=seeded(0)).to(dtype), correlated(20, 5, 6, 7, dtype=dtype)
    rotated = mixing.weight() @ mixing.weight().T
    torch.testing.assert_close(rotated, torch.eye(5, dtype=dtype), rtol=0, atol=1e-6)
    assert (mixing.weight() - torch.eye(5)).abs().max() > 0.1
    mixing.initialise(x)
    y, log_det = mixing(x)
    assert y.mean((0, 2, 3)).abs().max() < bound
    assert (covariance(y) - rotated).abs().max() < bound
    expected = -0.5 * torch.logdet(covariance(x)) * 6 * 7
    torch.testing.assert_close(log_det, expected.expand(20), rtol=1e-5, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("direction", ["channel", "sum"])
def test_mixing_survives_a_constant_direction(direction):
    x = correlated(20, 4, 6, 7)
    x[:, 2] = 7 if direction == "channel" else 1 - x[:, [0, 1, 3]].sum(1)
    mixing = ChannelMixing(4, generator=seeded(0)).double()
    mixing.initialise(x)
    y, log_det = mixing(x)
    assert log_det.isfinite().all()
    assert y.mean((0, 2, 3)).abs().max() < 1e-9
    values = torch.linalg.eigvalsh(covariance(y))
    torch.testing.assert_close(values, torch.tensor([0.0, 1, 1, 1]).double(), rtol=0, atol=1e-6)
    assert (mixing.inverse(y) - x).abs().max() < 1e-9


@torch.no_grad()
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_flow_starts_white(levels):
    network = flow(2, 1, levels).double()
    x = F.interpolate(correlated(30, 2, 8, 8), scale_factor=3, mode="bilinear")
    condition = 5 + 3 * noise(30, 1, 24, 24, seed=2)
    assert not network.initialised
    network.initialise(x, condition)
    assert network.initialised
    v, _ = network(x, condition)
    assert abs(float(v.mean())) < 1e-10
    assert float(v.square().mean()) == pytest.approx(1, abs=1e-6)
    finest = F.pixel_unshuffle(v, 2)
    finest = finest if levels == 1 else finest[:, 4:]  # the half that the first level lets go
    identity = torch.eye(finest.shape[1], dtype=torch.float64)
    torch.testing.assert_close(covariance(finest), identity, rtol=0, atol=1e-6)
    torch.testing.assert_close(network.standardise.mean, condition.mean((0, 2, 3)))
    torch.testing.assert_close(network.standardise.std, condition.std((0, 2, 3), correction=0))


@torch.no_grad()
@pytest.mark.parametrize(("condition", "levels"), [(0, 2), (2, 1), (2, 2)])
def test_density_without_couplings_is_a_dense_gaussian(condition, levels):
    """Injectors shift and scale; while the couplings are zero, z̄ = μ(z) + B(z) v is linear in v."""
    network, shape = flow(1, condition, levels).double(), (1, 4, 8)
    given = (noise(ROWS, condition, 4, 8, seed=2),) if condition else ()
    network.initialise(3 + 2 * noise(40, *shape), *(part[:1] for part in given))
    for context in network.contexts:
        if context.inject is not None:
            nn.init.normal_(context.inject.weight, std=0.3, generator=seeded(3))
    x = 3 + 2 * noise(ROWS, *shape, seed=4)
    ours = network.log_prob(x, *given)
    zero = torch.zeros(1, *shape, dtype=torch.float64)
    for row in range(ROWS):
        own = tuple(part[row : row + 1] for part in given)
        mean = network.inverse(zero, *own).flatten()
        columns = torch.eye(mean.numel(), dtype=torch.float64).view(-1, *shape)
        root = network.inverse(columns, *own).flatten(1).T - mean[:, None]
        dense = torch.distributions.MultivariateNormal(mean, root @ root.T)
        assert float(ours[row]) == pytest.approx(float(dense.log_prob(x[row].flatten())), abs=1e-8)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_any_grid_whose_sides_the_scales_divide(levels):
    network = flow(2, 1, levels).double()
    randomise(network)
    m = network.multiple
    assert m == 2**levels
    for rows, columns in ((m, m), (m, 5 * m), (4 * m, m), (3 * m, 2 * m)):
        v, condition = noise(2, 2, rows, columns), noise(1, 1, rows, columns, seed=1)
        assert (network(network.inverse(v, condition), condition)[0] - v).abs().max() < 1e-10


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("condition", [0, 2])
def test_translation(levels, condition):
    """Away from the borders, where convolutions see zeros, a shifted latent and condition give a shifted v."""
    network = flow(2, condition, levels, steps=1).double()
    randomise(network)
    m, radius = network.multiple, network.radius
    rows, columns = 2 * radius + 3 * m, 2 * radius + 4 * m
    maps = [noise(1, k, rows, columns, seed=k) for k in (2, condition) if k]
    for call in (lambda *given: network(*given)[0], network.inverse):
        whole, shifted = call(*maps), call(*(part[..., m:, 2 * m :] for part in maps))
        here = whole[..., m + radius : -radius, 2 * m + radius : -radius]
        there = shifted[..., radius:-radius, radius:-radius]
        assert here.shape == there.shape == (1, 2, 2 * m, 2 * m)
        assert (here - there).abs().max() < 1e-10
        assert (here - whole[..., radius : -radius - m, radius : -radius - 2 * m]).abs().max() > 0.1


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("condition", [0, 2])
def test_cells_depend_on_nothing_beyond_the_radius(levels, condition):
    """What is not a number spreads to all that depends on it, with whatever weight."""
    network = flow(1, condition, levels, steps=2).double()
    randomise(network)
    m, radius = network.multiple, network.radius
    side = 2 * radius + 3 * m
    maps = [noise(1, k, side, side, seed=k) for k in (1, condition) if k]
    known = network.inverse(*maps)
    rows, columns = torch.arange(side)[:, None], torch.arange(side)
    for row, column in (
        (radius, radius),
        (radius + m - 1, radius + m // 2),
        (side // 2, 0),
        (side - 1, side - 1),
    ):
        distance = torch.maximum((rows - row).abs(), (columns - column).abs())
        for index in range(len(maps)):
            others = [part.clone() for part in maps]
            others[index][..., distance > radius] = torch.nan
            assert_same(network.inverse(*others)[..., row, column], known[..., row, column])
            others[index][..., distance > 1] = torch.nan
            assert network.inverse(*others)[..., row, column].isnan().all()
    far = [part.clone() for part in maps]
    far[-1][..., : side // 2 - radius // 2] = torch.nan
    assert network.inverse(*far)[..., side // 2].isnan().any(), "the bound is not twice too large"


@torch.no_grad()
@pytest.mark.parametrize("weights", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_single_precision_round_trip(levels, weights):
    """The width of the default flow, with scales from none to larger than a trained one's."""
    network, generator = ConvolutionalFlow(8, 32, levels, 6, 64), seeded(0)
    condition = torch.randn(1, 32, 64, 64, generator=generator)
    lasts = [step.coupling.rest[-1] for level in network.levels for step in level]
    for layer in (*lasts, *(context.inject for context in network.contexts)):
        layer.weight.copy_(weights * torch.randn(layer.weight.shape, generator=generator))
    network.initialise(torch.randn(16, 8, 64, 64, generator=generator), condition)
    v = torch.randn(2, 8, 64, 64, generator=generator)
    assert (network(network.inverse(v, condition), condition)[0] - v).abs().max() < 1e-5
    assert (network.inverse(network(v, condition)[0], condition) - v).abs().max() < 1e-5


def smooth_pairs(n: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Smooth grids of two channels, and a condition that tells their sum."""
    fine = noise(n, 2, side + 4, side + 4, seed=seed, dtype=torch.float32)
    latents = F.avg_pool2d(fine, 5, stride=1) * 5
    told = latents.sum(1, keepdim=True) + 0.3 * noise(n, 1, side, side, seed=seed + 1, dtype=torch.float32)
    return latents, told


@pytest.fixture(scope="module")
def trained() -> ConvolutionalFlow:
    network = ConvolutionalFlow(2, 1, 2, 3, 16, condition_width=8)
    losses = network.fit(
        *smooth_pairs(64, 16, seed=0), steps=80, batch_size=8, learning_rate=4e-3, max_norm=1e3
    )
    assert sum(losses[-10:]) < sum(losses[:10]) - 10 * 100
    assert not network.training
    return network


@torch.no_grad()
def test_single_precision_round_trip_after_training(trained):
    latents, condition = smooth_pairs(4, 64, seed=5)
    v = torch.randn(4, 2, 64, 64, generator=seeded(6))
    assert (trained(trained.inverse(v, condition), condition)[0] - v).abs().max() < 1e-5
    assert (trained.inverse(trained(latents, condition)[0], condition) - latents).abs().max() < 1e-5


def test_log_determinant_is_exact_after_training(trained):
    network = ConvolutionalFlow(2, 1, 2, 3, 16, condition_width=8, seed=9).double()
    network.load_state_dict(load(save(trained.state_dict())))
    x, condition = (part.double() for part in smooth_pairs(2, 8, seed=7))
    _, log_det = network(x, condition)
    for row in range(2):
        exact = log_det_of_the_jacobian(network, x[row], (condition[row : row + 1],))
        assert abs(exact - log_det[row]) < 1e-9


@torch.no_grad()
def test_condition_carries_information(trained):
    latents, condition = smooth_pairs(16, 16, seed=8)
    gain = trained.log_prob(latents, condition) - trained.log_prob(latents, condition.roll(1, 0))
    assert gain.mean() > 1000


def test_same_seed_same_training_and_the_first_batch_initialises_once():
    def fitted(seed: int) -> tuple[ConvolutionalFlow, list[float]]:
        network = flow(2, 1, 1)
        return network, network.fit(*smooth_pairs(8, 8, seed=0), steps=4, batch_size=4, seed=seed)

    state = torch.get_rng_state()
    network, losses = fitted(3)
    assert torch.equal(torch.get_rng_state(), state)
    again, same = fitted(3)
    assert losses == same != fitted(4)[1]
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    mean = network.standardise.mean.clone()
    latents, condition = smooth_pairs(8, 8, seed=1)
    network.fit(latents + 5, condition + 5, steps=1, batch_size=4, learning_rate=1e-9)
    assert torch.equal(network.standardise.mean, mean)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 0}, "channels must be at least 1: 0"),
        ({"condition_channels": -1}, "condition_channels must be at least 0"),
        ({"levels": 0}, "levels must be at least 1"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"hidden": 0}, "hidden must be at least 1"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"condition_width": 0}, "condition_width must be at least 1"),
    ],
)
def test_impossible_sizes(settings, message):
    with pytest.raises(ConfigError, match=message):
        ConvolutionalFlow(**{"channels": 2, "condition_channels": 1, **settings})


@pytest.mark.parametrize(
    ("latent", "condition", "message"),
    [
        ((5, 3, 8, 8), (5, 3, 8, 8), r"latents must be \(N, 2, h, w\): \(5, 3, 8, 8\)"),
        ((2, 8, 8), (5, 3, 8, 8), "latents must be"),
        ((5, 2, 8, 6), (5, 3, 8, 6), r"sides of the grid must be multiples of 4: \(8, 6\)"),
        ((5, 2, 0, 8), (5, 3, 0, 8), "multiples of 4"),
        ((5, 2, 8, 8), (5, 2, 8, 8), r"conditions must be \(N, 3, 8, 8\): \(5, 2, 8, 8\)"),
        ((5, 2, 8, 8), (5, 3, 4, 4), r"conditions must be \(N, 3, 8, 8\)"),
        ((5, 2, 8, 8), (4, 3, 8, 8), "one, or one per latent"),
        ((5, 2, 8, 8), None, r"needs conditions \(N, 3, 8, 8\): condition"),
    ],
)
def test_shapes_that_do_not_fit(latent, condition, message):
    network = flow(2, 3, 2)
    inputs = torch.zeros(latent), None if condition is None else torch.zeros(condition)
    for call in (network, network.inverse, network.log_prob, network.initialise):
        with pytest.raises(ConfigError, match=message):
            call(*inputs)


def test_unconditional_flow_takes_no_condition():
    with pytest.raises(ConfigError, match="takes none"):
        flow(2, 0, 1)(torch.zeros(5, 2, 4, 4), torch.zeros(5, 2, 4, 4))


def test_flows_need_no_monai():
    check = "import CTInvarianceLib.flow, sys; print('monai' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
