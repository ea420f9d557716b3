"""The road without a flow: draws from a Gaussian, brought to z ± ε. For layers that no flow was trained for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..base import Progress, part, unheard
from ..tensors import batch_size, filtered
from ..tolerance import most_probable
from .asked import Asked

_STEPS, _ITERATIONS = 3, 15


def draw_without_flow(
    asked: Asked, *, n: int, seed: int, progress: Progress = unheard
) -> tuple[Tensor, Tensor]:
    """n images of p_ε(x′ given z) as if images were the full dose (or the denoised image) plus stationary noise.

    Exact for a linear layer (Matheron's rule; docs/method.md). It knows the layer's gain at every sample, and so
    shows finer detail than a flow; it costs about 90 passes of the network for every sample.

    Args:
        asked: of one slice.
        n: how many.
        seed: of the noise and of η; image number i depends on it and on i, not on n.
        progress: called after every iteration; may raise to cancel.

    Returns:
        The images (n, 1, H, W), normalised, and the normal numbers that their noise was made from, alike.
    """
    layer, metric = asked.layer, asked.metric
    rows, columns = asked.quiet.shape[-2:]
    z = layer.linearize(layer.view.region)
    epsilon = z.new_tensor(asked.epsilon).reshape(1, 1, 1, 1)
    of_images, of_z = (_seeded(seed, stream) for stream in range(2))
    window = layer.view.window
    batch = batch_size(window.shape[-2] * window.shape[-1], window.device)
    white, images = z.new_empty(n, 1, rows, columns), z.new_empty(n, 1, rows, columns)
    for first in range(0, n, batch):
        some = white[first : first + batch]
        some.copy_(torch.stack([torch.randn(some.shape[1:], generator=of_images) for _ in some]))
        prior = asked.quiet + filtered(some, metric.noise.sqrt())
        noise = torch.stack([torch.randn(z.shape[1:], generator=of_z) for _ in some]).to(z)
        images[first : first + batch] = most_probable(
            layer,
            metric,
            start=prior,
            prior=prior,
            wanted=z + epsilon * noise,
            epsilon=epsilon,
            steps=_STEPS,
            iterations=_ITERATIONS,
            progress=part(progress, first / n, (first + len(some)) / n),
        )
    return images, white


def _seeded(seed: int, stream: int) -> torch.Generator:
    state = np.random.SeedSequence((seed, stream)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))
