"""What every bijection promises, of vectors and of grids: tested by subclasses of one class."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from CTInvarianceLib.flow import Flow


class BijectionContract:
    """The tests; a module that subclasses it has two fixtures:

    - `build`: makes a bijection from a seed;
    - `case`: one with weights as after training, some rows x, and what they depend on, a row each, in float64.

    Attributes:
        differences: rows whose derivatives are compared with finite differences.
    """

    differences = 2

    def test_inverse_is_exact_both_ways(self, case):
        bijection, x, others = case
        y, _ = bijection(x, *others)
        assert y.shape == x.shape
        assert (y - x).abs().max() > 0.1
        assert (bijection.inverse(y, *others) - x).abs().max() < 1e-10
        assert (bijection(bijection.inverse(x, *others), *others)[0] - x).abs().max() < 1e-10

    def test_log_determinant_is_that_of_the_jacobian(self, case):
        bijection, x, others = case
        _, log_det = bijection(x, *others)
        assert log_det.shape == (len(x),)
        for row in range(len(x)):
            own = tuple(part[row : row + 1] for part in others)
            assert abs(log_det_of_the_jacobian(bijection, x[row], own) - log_det[row]) < 1e-9

    def test_gradients_reach_every_parameter_and_are_those_of_differences(self, case):
        bijection, x, others = case
        y, log_det = bijection(x.requires_grad_(), *others)
        (y.square().sum() + y.pow(3).mean() - log_det.sum()).backward()
        for name, parameter in bijection.named_parameters():
            if parameter.shape == (1, 1) and name.endswith(("lower", "upper")):
                continue  # the triangles of one channel have nothing beside the diagonal
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name  # noqa: PT018
        few = self.differences
        inputs = [x[:few].detach().requires_grad_(), *(part[:few] for part in others)]
        assert torch.autograd.gradcheck(bijection, inputs)
        assert torch.autograd.gradcheck(bijection.inverse, inputs)

    def test_saved_weights_give_the_same_output_in_another_one(self, case, build):
        bijection, x, others = case
        if isinstance(bijection, Flow):
            bijection.initialise(3 + 2 * x, *others)
        other = build(99).double()
        other.load_state_dict(load(save(bijection.state_dict())))
        assert torch.equal(other(x, *others)[0], bijection(x, *others)[0])
        assert torch.equal(other.inverse(x, *others), bijection.inverse(x, *others))

    def test_one_condition_serves_all_rows(self, case):
        bijection, x, others = case
        if not others:
            pytest.skip("takes no condition")
        one = tuple(part[:1] for part in others)
        y, log_det = bijection(x, *one)
        each = bijection(x, *(part.expand(len(x), *part.shape[1:]) for part in one))
        assert log_det.shape == (len(x),)
        torch.testing.assert_close((y, log_det), each, rtol=1e-12, atol=1e-12)
        assert (bijection.inverse(y, *one) - x).abs().max() < 1e-10

    def test_first_weights_depend_on_the_seed_alone(self, build):
        state = torch.get_rng_state()
        first = build(3).state_dict()
        assert torch.equal(torch.get_rng_state(), state), "building draws from the global generator"
        torch.rand(7)
        again = build(3).state_dict()
        assert all(torch.equal(first[name], again[name]) for name in first)


def log_det_of_the_jacobian(bijection: nn.Module, x: Tensor, others: tuple[Tensor, ...]) -> Tensor:
    """By autograd, of one row."""
    jacobian = torch.autograd.functional.jacobian(
        lambda flat: bijection(flat.view(1, *x.shape), *others)[0].flatten(), x.flatten()
    )
    return torch.linalg.slogdet(jacobian).logabsdet
