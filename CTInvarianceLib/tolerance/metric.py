"""What is likely among differences of images, and what a layer lets through of them, frequency by frequency."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .layer import LocalLayer

_PROBES, _REACH = 4, 2
_LEAST_GAIN = 1e-8


@dataclass(frozen=True)
class Metric:
    """A stationary approximation, diagonal under the Fourier transform; (H, W // 2 + 1), or (n, 1, …) of several.

    Attributes:
        noise: S, the power of likely differences: Σ = F* S F.
        gain: G², what the layer makes of the power of a difference, summed over its channels.
    """

    noise: Tensor
    gain: Tensor

    def posterior(self, epsilon: Tensor) -> Tensor:
        """S ε² / (G² S + ε²), the variance that is left within the tolerance ε (n, 1, 1, 1); (n, 1, H, W // 2 + 1)."""
        return 1 / (self.gain / epsilon.square() + 1 / self.noise)


def measure_gain(layer: LocalLayer, rows: int, columns: int, *, seed: int = 0) -> Tensor:
    """G² of a layer at the images where it was linearised, from white noise (Hutchinson 1990), smoothed a little."""
    generator = torch.Generator().manual_seed(seed)
    count = max(_PROBES, len(layer.view.window)) if len(layer.view.window) > 1 else _PROBES
    probe = torch.randn(count, 1, rows, columns, generator=generator).to(layer.view.window)
    answer = layer.transpose(layer.forward(probe))
    asked, answered = torch.fft.rfft2(probe), torch.fft.rfft2(answer)
    through = _smooth((asked.conj() * answered).real.mean((0, 1)))
    return (through / _smooth(asked.abs().square().mean((0, 1)))).clamp_min(_LEAST_GAIN)


def _smooth(plane: Tensor) -> Tensor:
    """The mean over neighbouring frequencies, (H, W // 2 + 1): around upwards, to the border sideways."""
    steps = range(-_REACH, _REACH + 1)
    upwards = torch.stack([plane.roll(step, 0) for step in steps]).mean(0)
    columns = torch.arange(plane.shape[1], device=plane.device)
    sideways = [upwards[:, (columns + step).clamp(0, plane.shape[1] - 1)] for step in steps]
    return torch.stack(sideways).mean(0)
