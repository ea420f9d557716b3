"""The closed-form part of a grid's flow against numpy's least squares, and the flow of a layer that it belongs to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from CTInvarianceLib.flow import BlockPCA, ConvolutionalFlow, GridRegression, LayerFlow
from CTInvarianceLib.flow.grid_regression import PENALTY


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def maps(n=3, features=2, channels=3, seed=0):
    """Features far from zero, and latents that follow a convolution of them but for noise."""
    h = 2 + noise(n, features, 9, 7, seed=seed)
    latents = F.conv2d(h, noise(channels, features, 3, 3, seed=seed + 1), noise(channels, seed=2), padding=1)
    return h, latents + noise(*latents.shape, seed=seed + 3)


def rows(h, size):
    """Every cell's neighbourhood, zeros beyond the border: (cells, features · size²)."""
    edge = size // 2
    padded = np.pad(h.numpy(), ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, h.shape[1] * size**2)


def least_squares(h, latents, size, relative=0.0):
    """Weights (features · size², c) and bias by numpy; the ridge falls on the weights alone."""
    x = rows(h, size)
    y = latents.numpy().transpose(0, 2, 3, 1).reshape(len(x), -1)
    ridge = relative * np.square(x).sum(0).mean()
    penalty = np.hstack([np.sqrt(ridge) * np.eye(x.shape[1]), np.zeros((x.shape[1], 1))])
    augmented = np.vstack([np.hstack([x, np.ones((len(x), 1))]), penalty])
    solution = np.linalg.lstsq(augmented, np.vstack([y, np.zeros((x.shape[1], y.shape[1]))]), rcond=None)[0]
    return solution[:-1], solution[-1], x, y


@pytest.mark.parametrize("size", [1, 3, 5])
def test_the_fit_is_that_of_least_squares(size):
    h, latents = maps()
    regression = GridRegression(2, 3, size).double()
    left = regression.fit([(h, latents)])
    weight, bias, x, y = least_squares(h, latents, size, relative=PENALTY)
    ours = regression.weight.numpy().reshape(3, -1).T
    np.testing.assert_allclose(ours, weight, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(regression.bias, bias, rtol=1e-8)
    predicted = regression(h).numpy().transpose(0, 2, 3, 1).reshape(y.shape)
    np.testing.assert_allclose(predicted, x @ weight + bias, rtol=1e-8, atol=1e-8)
    residual = (y - x @ weight - bias).var(0).sum() + np.square((y - x @ weight - bias).mean(0)).sum()
    assert left == pytest.approx(residual / y.var(0).sum(), rel=1e-6)
    unpenalised, *_ = least_squares(h, latents, size)
    np.testing.assert_allclose(ours, unpenalised, atol=1e-3)


def test_batches_are_fitted_together():
    h, latents = maps(n=5)
    one, many = (GridRegression(2, 3).double() for _ in range(2))
    left = one.fit([(h, latents)])
    assert many.fit((h[i : i + 2], latents[i : i + 2]) for i in (0, 2, 4)) == pytest.approx(left)
    torch.testing.assert_close(many.weight, one.weight, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(many.bias, one.bias, rtol=1e-9, atol=1e-12)


def test_only_the_leading_features_take_part():
    h, latents = maps(features=4)
    few, all_of_them = GridRegression(2, 3).double(), GridRegression(2, 3).double()
    few.fit([(h, latents)])
    all_of_them.fit([(h[:, :2], latents)])
    assert torch.equal(few.weight, all_of_them.weight)
    assert torch.equal(few(h), few(torch.cat((h[:, :2], h[:, 2:] * 100), dim=1)))


def test_a_known_convolution_is_found():
    h = noise(4, 2, 12, 10)
    weight, bias = noise(3, 2, 5, 5, seed=1), noise(3, seed=2)
    regression = GridRegression(2, 3, 5).double()
    left = regression.fit([(h, F.conv2d(h, weight, bias, padding=2))])
    torch.testing.assert_close(regression.weight, weight, rtol=0, atol=1e-5)
    torch.testing.assert_close(regression.bias, bias, rtol=0, atol=1e-5)
    assert abs(left) < 1e-9
    other = noise(1, 2, 30, 6, seed=3)
    torch.testing.assert_close(regression(other), F.conv2d(other, weight, bias, padding=2), rtol=0, atol=1e-4)


def test_translation():
    h, latents = maps()
    regression = GridRegression(2, 3, 3).double()
    regression.fit([(h, latents)])
    other = noise(1, 2, 20, 17, seed=9)
    whole, shifted = regression(other), regression(other[..., 4:, 3:])
    torch.testing.assert_close(whole[..., 5:, 4:], shifted[..., 1:, 1:], rtol=0, atol=1e-12)


def layer_flow(channels=2, block=2, enlarge=1):
    """A layer's flow with nothing zero in it, for z of three channels."""
    generator = torch.Generator().manual_seed(0)
    stem = BlockPCA(3, 3, block)
    stem.fit([torch.randn(8, 3, 16, 16, generator=generator)])
    regression = GridRegression(2, channels)
    regression.weight.normal_(generator=generator)
    regression.bias.normal_(generator=generator)
    flow = ConvolutionalFlow(channels, 3, 1, 2, 8, condition_width=6)
    for parameter in flow.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return LayerFlow(stem, regression, flow, enlarge=enlarge).double().eval()


# z as fine as the image, as the latent's grid, and coarser than it
STRIDES = {"finer": (2, 1, (8, 12)), "as fine": (1, 1, (4, 6)), "coarser": (1, 2, (2, 3))}


@pytest.mark.parametrize("case", STRIDES)
def test_the_layer_flow_is_a_bijection_with_its_jacobians_determinant(case):
    block, enlarge, size = STRIDES[case]
    flow = layer_flow(block=block, enlarge=enlarge)
    z, latent = noise(3, 3, *size, seed=1), noise(3, 2, 4, 6, seed=2)
    v, log_det = flow(latent, z)
    assert v.shape == latent.shape
    torch.testing.assert_close(flow.inverse(v, z), latent, atol=1e-10, rtol=0)
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda x, i=i: flow(x.view(1, 2, 4, 6), z[i : i + 1])[0].flatten(), latent[i].flatten()
        )
        assert torch.linalg.slogdet(jacobian)[1] == pytest.approx(log_det[i].item(), abs=1e-9)
    normal = torch.distributions.Normal(0, 1)
    torch.testing.assert_close(flow.log_prob(latent, z), normal.log_prob(v).flatten(1).sum(1) + log_det)


@pytest.mark.parametrize("case", STRIDES)
def test_one_z_serves_many_latents(case):
    block, enlarge, size = STRIDES[case]
    flow = layer_flow(block=block, enlarge=enlarge)
    z, v = noise(1, 3, *size, seed=1), noise(5, 2, 4, 6, seed=2)
    torch.testing.assert_close(flow.inverse(v, z), flow.inverse(v, z.expand(5, -1, -1, -1)))
    torch.testing.assert_close(flow.inverse_given(v, flow.condition(z, (4, 6))), flow.inverse(v, z))


@pytest.mark.parametrize(
    ("case", "size"), [("finer", (7, 9)), ("finer", (1, 12)), ("as fine", (3, 6)), ("coarser", (1, 3))]
)
def test_a_representation_that_ends_inside_the_grid_is_continued(case, size):
    block, enlarge, whole = STRIDES[case]
    flow = layer_flow(block=block, enlarge=enlarge)
    z = noise(1, 3, *size, seed=1)
    edge = [(0, 0), (0, 0), *((0, there - here) for here, there in zip(size, whole, strict=True))]
    continued = torch.from_numpy(np.pad(z.numpy(), edge, mode="edge"))
    assert continued.shape[2:] == whole
    assert torch.equal(flow.condition(z, (4, 6)), flow.condition(continued))
    v = noise(1, 2, 4, 6, seed=2)
    assert torch.equal(flow.inverse(v, z), flow.inverse(v, continued))


def test_a_coarse_representation_is_spread_over_its_cells():
    flow = layer_flow(block=1, enlarge=2)
    z = noise(1, 3, 2, 3, seed=1)
    h, coarse = flow.condition(z), flow.stem(z)
    assert torch.equal(h, coarse.repeat_interleave(2, 2).repeat_interleave(2, 3))
