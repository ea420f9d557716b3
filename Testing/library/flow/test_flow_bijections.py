"""The contract of every bijection: exact inverse, exact log-determinant, gradients, saving, broadcasting."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from bijection_contract import BijectionContract
from torch import Tensor, nn

from CTInvarianceLib.flow import ConditionalFlow, ConditionNetwork
from CTInvarianceLib.flow.bijections import ActNorm, Permutation
from CTInvarianceLib.flow.block import FlowBlock
from CTInvarianceLib.flow.coupling import AffineCoupling

HIDDEN = 16


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# name: how to build it from a seed, d, shape of one context or condition
BIJECTIONS: dict[str, tuple[Callable[[int], nn.Module], int, tuple[int, ...] | None]] = {
    "actnorm": (lambda seed: ActNorm(5), 5, None),
    "permutation": (lambda seed: Permutation(5, generator=seeded(seed)), 5, None),
    **{
        f"coupling-{half}-d{d}-depth{depth}": (
            lambda seed, half=half, d=d, depth=depth: AffineCoupling(
                d, hidden=HIDDEN, depth=depth, transforms=half, generator=seeded(seed)
            ),
            d,
            (HIDDEN,),
        )
        for half in ("first", "second")
        for d, depth in ((2, 1), (5, 2), (6, 3))
    },
    "block": (lambda seed: FlowBlock(7, hidden=HIDDEN, generator=seeded(seed)), 7, (HIDDEN,)),
    "flow": (lambda seed: ConditionalFlow(6, 4, 12, HIDDEN, seed=seed), 6, (4,)),
    "flow-odd": (lambda seed: ConditionalFlow(7, 4, 3, HIDDEN, seed=seed), 7, (4,)),
    "flow-unconditional": (lambda seed: ConditionalFlow(6, 0, 12, HIDDEN, seed=seed), 6, None),
    "flow-network": (
        lambda seed: ConditionalFlow(
            6, 4, 4, HIDDEN, seed=seed, condition_network=ConditionNetwork(3, (4, 6), 4, 8, seed=seed)
        ),
        6,
        (3, 4, 6),
    ),
}


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Weights as after training: no layer is zero, no scale is one."""
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = max(parameter.shape[-2:]) if parameter.ndim > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5 * fan_in**-0.5)


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
    """It with random weights, 9 rows x and 9 contexts, in float64."""
    _, d, shape = BIJECTIONS[name]
    bijection = build(0).double()
    randomise(bijection)
    x = torch.randn(9, d, generator=seeded(1), dtype=torch.float64)
    if shape is None:
        return bijection, x, ()
    return bijection, x, (torch.randn(9, *shape, generator=seeded(2), dtype=torch.float64),)


class TestContract(BijectionContract):
    """Of vectors."""


def test_another_seed_is_another_flow():
    one, other = (ConditionalFlow(8, 2, 2, 8, seed=seed).state_dict() for seed in (0, 1))
    for name in ("blocks.1.permutation.order", "blocks.0.coupling.first.weight", "projection.weight"):
        assert not torch.equal(one[name], other[name]), name


@pytest.mark.parametrize(("d", "blocks"), [(2, 2), (5, 2), (16, 2), (16, 5)])
def test_every_dimension_is_transformed(d, blocks):
    flow = ConditionalFlow(d, 1, blocks, 8).double()
    randomise(flow)
    x = torch.randn(4, d, generator=seeded(0), dtype=torch.float64)
    untouched = set(range(d))
    origin = torch.arange(d)
    for block in flow.blocks:
        y, _ = block.coupling(x, torch.zeros(1, 8, dtype=torch.float64))
        untouched -= {int(origin[i]) for i in range(d) if not torch.equal(y[:, i], x[:, i])}
        origin = origin if block.permutation is None else origin[block.permutation.order]
    assert not untouched


def test_scale_is_clamped():
    coupling = AffineCoupling(4, hidden=8, clamp=2.0, generator=seeded(0))
    randomise(coupling)
    context = torch.zeros(1, 8)
    _, log_det = coupling(1e6 * torch.randn(50, 4, generator=seeded(1)), context)
    assert log_det.abs().max() <= 2 * 2.0 + 1e-6
    assert log_det.abs().max() > 3.9


def test_flow_starts_as_the_identity_up_to_order():
    flow = ConditionalFlow(6, 3, 4, 8)
    x, z = torch.randn(5, 6, generator=seeded(0)), torch.randn(5, 3, generator=seeded(1))
    v, log_det = flow(x, z)
    assert torch.equal(v.sort(1).values, x.sort(1).values)
    assert torch.equal(log_det, torch.zeros(5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_actnorm_initialisation_standardises_and_survives_a_constant_dimension(dtype):
    x = 3 + 40 * torch.randn(200, 4, generator=seeded(0), dtype=dtype)
    x[:, 2] = 7
    norm = ActNorm(4).to(dtype)
    norm.initialise(x)
    y, log_det = norm(x)
    varying = y[:, [0, 1, 3]]
    torch.testing.assert_close(varying.mean(0), torch.zeros(3, dtype=dtype), rtol=0, atol=1e-5)
    torch.testing.assert_close(varying.std(0, correction=0), torch.ones(3, dtype=dtype))
    assert y[:, 2].abs().max() < 1e-5
    assert log_det.isfinite().all()
    assert norm.log_scale[2] == 0


def test_coupling_agrees_with_freia():
    from FrEIA.modules import AllInOneBlock

    coupling = AffineCoupling(6, hidden=8, clamp=2.0, generator=seeded(0)).double()
    randomise(coupling)
    weight = torch.randn(8, 4, generator=seeded(3), dtype=torch.float64)

    class Subnet(nn.Module):
        """The same subnetwork; FrEIA multiplies what it returns by 0.1."""

        def forward(self, inputs: Tensor) -> Tensor:
            hidden = inputs[:, :3] @ coupling.first.weight.T + inputs[:, 3:] @ weight.T
            return 10 * coupling.rest(hidden)

    block = AllInOneBlock(
        [(6,)], [(4,)], subnet_constructor=lambda *_: Subnet(), affine_clamping=2.0
    ).double()
    x = torch.randn(9, 6, generator=seeded(1), dtype=torch.float64)
    z = torch.randn(9, 4, generator=seeded(2), dtype=torch.float64)
    (theirs,), their_log_det = block((x,), c=[z])
    y, log_det = coupling(x, z @ weight.T)
    scale = block.global_scale_activation(block.global_scale)
    torch.testing.assert_close(theirs, (y * scale) @ block.w_perm.T, rtol=0, atol=1e-9)
    torch.testing.assert_close(their_log_det, log_det + scale.log().sum(), rtol=0, atol=1e-9)
