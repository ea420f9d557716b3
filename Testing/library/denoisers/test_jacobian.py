"""J v and Jᵀ u against automatic differentiation, for plain chains and for any other module."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from CTInvarianceLib.denoisers import Chen, Identity, Linearizer, Yang, layers, representation


class Residual(nn.Module):
    """A connection passes the convolutions by, and something happens that is no module."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 1, 3, padding=1)

    def forward(self, x):
        return x - self.second(torch.tanh(self.first(x)))


class Strided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.norm = nn.Conv2d(1, 5, 3, stride=2, padding=1), nn.InstanceNorm2d(5)

    def forward(self, x):
        return nn.functional.interpolate(self.norm(self.down(x)), scale_factor=2).mean(1, keepdim=True)


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Identity()

    def forward(self, x):
        return self.same(torch.ones_like(x))


CASES = [
    (Chen, "3", True), (Chen, "5", True), (lambda: Chen(5), "5", True), (Yang, "1", True), (Yang, "8", True),
    (Identity, "1", True), (Residual, "second", False), (Residual, "first", True), (Strided, "norm", False),
]  # fmt: skip


@pytest.mark.parametrize(("build", "layer", "plain"), CASES)
def test_products_are_those_of_automatic_differentiation(build, layer, plain):
    torch.manual_seed(0)
    network = build().double().eval().requires_grad_(False)
    x, v = torch.randn(2, 1, 20, 24, dtype=torch.float64), torch.randn(2, 1, 20, 24, dtype=torch.float64)
    linearizer = Linearizer(network, layer)
    assert (linearizer.chain is not None) == plain
    jacobian = linearizer.at(x)
    z, known = torch.func.jvp(lambda images: representation(network, images, layer), (x,), (v,))
    torch.testing.assert_close(jacobian.value, z)
    torch.testing.assert_close(jacobian.forward(v), known)
    u = torch.randn_like(z)
    _, pull = torch.func.vjp(lambda images: representation(network, images, layer), x)
    torch.testing.assert_close(jacobian.transpose(u), pull(u)[0])


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("build", [Chen, Residual])
def test_in_inference_mode_too(build, count):
    network = build().eval().requires_grad_(False)
    with torch.inference_mode():
        check_transposition(Linearizer(network, layers(network)[-1]).at(torch.randn(count, 1, 16, 16)))


def check_transposition(jacobian):
    v, u = torch.randn(3, 1, 16, 16), torch.randn(3, *jacobian.value.shape[1:])
    # ⟨u, J v⟩ = ⟨Jᵀ u, v⟩
    torch.testing.assert_close(
        (u * jacobian.forward(v)).sum(), (jacobian.transpose(u) * v).sum(), rtol=1e-3, atol=1e-4
    )


def test_what_answers_to_nothing_has_a_derivative_of_zero():
    jacobian = Linearizer(Constant(), "same").at(torch.randn(2, 1, 16, 16))
    assert not jacobian.forward(torch.randn(2, 1, 16, 16)).any()
    assert not jacobian.transpose(torch.randn(2, 1, 16, 16)).any()


def test_a_chain_that_is_none_is_found_out():
    class Looks(nn.Module):
        """Its modules are a plain chain; what it does is not."""

        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)

        def forward(self, x):
            return self.two(self.one(x)) + x

    assert Linearizer(Looks(), "two").chain is not None  # the connection joins behind this module
    assert Linearizer(nn.Sequential(Looks(), nn.Conv2d(1, 1, 1)), "1").chain is None
