"""The closed-form part of a layer's flow, against refits and against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from CTInvarianceLib.flow import (
    BlockPCA,
    ConditionalFlow,
    ConditionNetwork,
    LatentRegression,
    LayerFlow,
    Ridge,
)
from CTInvarianceLib.flow import regression as module


def data(rows, features, targets, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, features, generator=generator, dtype=torch.float64) + 3
    a = torch.randn(features, targets, generator=generator, dtype=torch.float64)
    y = x @ a + torch.randn(rows, targets, generator=generator, dtype=torch.float64) - 7
    return x, y


def refit(x, y, penalty):
    """Ridge with a free intercept, by numpy's least squares."""
    mx, my = x.mean(0), y.mean(0)
    augmented = np.vstack([x - mx, np.sqrt(penalty) * np.eye(x.shape[1])])
    weight = np.linalg.lstsq(augmented, np.vstack([y - my, np.zeros((x.shape[1], y.shape[1]))]), rcond=None)[
        0
    ]
    return weight, my - mx @ weight


@pytest.mark.parametrize(("rows", "features"), [(12, 30), (40, 6)])
@pytest.mark.parametrize("relative", [1e-6, 1e-2, 1.0])
def test_held_out_predictions_are_those_of_refits_without_the_row(monkeypatch, rows, features, relative):
    monkeypatch.setattr(module, "PENALTIES", (relative,))
    x, y = data(rows, features, 2)
    weight, bias, predictions = Ridge(x).solve(y)
    centred = x - x.mean(0)
    penalty = relative * float(torch.linalg.eigvalsh(centred @ centred.T).mean())
    expected, intercept = refit(x.numpy(), y.numpy(), penalty)
    np.testing.assert_allclose(weight, expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(bias, intercept, rtol=1e-6, atol=1e-8)
    for i in range(rows):
        rest = [j for j in range(rows) if j != i]
        w, b = refit(x[rest].numpy(), y[rest].numpy(), penalty)
        np.testing.assert_allclose(predictions[i], x[i].numpy() @ w + b, rtol=1e-5, atol=1e-6)


def test_the_penalty_fits_the_noise():
    x, y = data(60, 200, 3)
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    _, _, predictions = Ridge(x).solve(noise)
    assert (noise - predictions).square().mean() < 1.1 * noise.square().mean(), "pure noise: predict the mean"
    x, y = data(300, 20, 3)
    _, _, predictions = Ridge(x).solve(y)
    assert (y - predictions).square().mean() < 1.3


def test_rows_beyond_the_limit_are_predicted_by_the_rest(monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", 25)
    x, y = data(40, 8, 2)
    weight, bias, predictions = Ridge(x).solve(y)
    torch.testing.assert_close(predictions[25:], x[25:] @ weight + bias)
    few, _, _ = Ridge(x[:25]).solve(y[:25])
    torch.testing.assert_close(weight, few)


def layer_flow(seed=0):
    generator = torch.Generator().manual_seed(seed)
    stem = BlockPCA(3, 6)
    stem.fit([torch.randn(20, 3, 32, 32, generator=generator)])
    regression = LatentRegression(4, (4, 4), 5)
    regression.weight.normal_(generator=generator)
    regression.bias.normal_(generator=generator)
    regression.importance.copy_(stem.importance[:4])
    flow = ConditionalFlow(
        5, 7, blocks=4, hidden=16, condition_network=ConditionNetwork(6, (4, 4), 7, 8), seed=seed
    )
    for parameter in flow.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return LayerFlow(stem, regression, flow).double().eval()


def test_the_layer_flow_is_a_bijection_with_its_jacobians_determinant():
    flow, generator = layer_flow(), torch.Generator().manual_seed(1)
    z = torch.randn(4, 3, 32, 32, generator=generator, dtype=torch.float64)
    latent = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    v, log_det = flow(latent, z)
    torch.testing.assert_close(flow.inverse(v, z), latent, atol=1e-10, rtol=0)
    for i in range(4):
        jacobian = torch.autograd.functional.jacobian(
            lambda x, i=i: flow(x[None], z[i : i + 1])[0][0], latent[i]
        )
        assert torch.linalg.slogdet(jacobian)[1] == pytest.approx(log_det[i].item(), abs=1e-9)
    normal = torch.distributions.Normal(0, 1)
    torch.testing.assert_close(flow.log_prob(latent, z), normal.log_prob(v).sum(1) + log_det)


def test_one_z_serves_many_latents():
    flow, generator = layer_flow(), torch.Generator().manual_seed(2)
    z = torch.randn(1, 3, 32, 32, generator=generator, dtype=torch.float64)
    v = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(flow.inverse(v, z), flow.inverse(v, z.expand(6, -1, -1, -1)))
