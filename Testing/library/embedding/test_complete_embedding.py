"""The complete embedding loses nothing."""

from __future__ import annotations

import pytest
import torch

from CTInvarianceLib.base import ConfigError
from CTInvarianceLib.config import config_from_dict
from CTInvarianceLib.embedding import CompleteEmbedding
from CTInvarianceLib.models import build_embedding
from CTInvarianceLib.tensors import denormalize, principal_components


@pytest.fixture(scope="module")
def embedding() -> CompleteEmbedding:
    """From images that are mostly smooth, as CT is: some components are a thousandth of others."""
    made = CompleteEmbedding(64)
    images = smooth(32)
    made.start_from(principal_components(made.linear_samples(images), 16), 0.0)
    return made.eval().requires_grad_(False)


def smooth(count: int, side: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 1, side // 8, side // 8, generator=generator)
    images = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    return images + 0.01 * torch.randn(images.shape, generator=generator)


@pytest.mark.parametrize("shape", [(64, 64), (128, 96), (37, 51), (512, 512)])
def test_decoding_gives_the_image_back(embedding, shape):
    x = 2 * torch.randn(2, 1, *shape, generator=torch.Generator().manual_seed(1))
    x[..., ::3, ::5] += 3  # edges, metal
    posterior = embedding.encode(x)
    assert posterior.mean.shape[1:] == embedding.latent_shape_of(*shape)
    decoded = embedding.decode(posterior.mean)[..., : shape[0], : shape[1]]
    assert float((denormalize(decoded) - denormalize(x)).abs().max()) < 0.5
    power = [torch.fft.rfft2(image).abs().square() for image in (decoded, x)]
    nyquist = power[0].shape[-1] * 9 // 10
    kept = power[0][..., nyquist].sum() / power[1][..., nyquist].sum()
    assert float(kept) == pytest.approx(1, abs=0.01)


def test_latents_of_what_it_was_made_from_are_white(embedding):
    latents = embedding.encode(smooth(32)).mean.movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(latents.T.cov(), torch.eye(16), rtol=0, atol=0.05)
    assert float(embedding.encode(smooth(1)).std.max()) < 1e-3


def test_it_refuses_what_it_cannot_do():
    with pytest.raises(ConfigError, match="does not fit"):
        CompleteEmbedding(62)
    values = {"embedding": {"guide": "chen"}, "denoisers": {"chen": {"architecture": "chen"}}}
    with pytest.raises(ConfigError, match="needs no guide"):
        build_embedding(config_from_dict(values))
