"""Whether the true image looks like one of its own samples, on images that the flow has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import Progress, unheard
from ..flow import ImageFlow, Seen
from ..tensors import power_of, ring_means

FUNCTIONALS = 20
_PIECE = (
    16  # pixels: energies of larger pieces would have so many degrees of freedom that 1 % of variance tells
)
_BANDS, _MEANS, _PATTERNS = 8, 4, 8
SAMPLES = 19  # of each image: its value lies between their extremes with a probability of 0.9
_BINS = 5
_AT_ONCE = 50  # images


@dataclass(frozen=True)
class Calibration:
    """Of N images and 19 samples of each.

    Attributes:
        ranks: of every image's functionals among those of its samples, 0 … 19, (N, FUNCTIONALS).
        covered: share of the pixels whose value lies between those of its samples, 0.9 for a right flow.
        v_mean: of v at the true images, 0 for a right flow.
        v_std: likewise, 1.
        v_distance: largest distance of the distribution of v from the normal one (Kolmogorov–Smirnov).
        v_follows: largest correlation of log v² in a cell with one of the cell's conditions; 0: v knows nothing of z.
    """

    ranks: Tensor
    covered: float
    v_mean: float
    v_std: float
    v_distance: float
    v_follows: float

    @property
    def chances(self) -> Tensor:
        """For every functional, how likely ranks at least as uneven are if all are equally likely (χ²), (20,)."""
        bins = self.ranks * _BINS // (SAMPLES + 1)
        counts = torch.stack([torch.bincount(own, minlength=_BINS) for own in bins.T]).double()
        expected = len(self.ranks) / _BINS
        deviance = (counts - expected).square().sum(1) / expected
        return torch.special.gammaincc(torch.tensor((_BINS - 1) / 2, dtype=torch.float64), deviance / 2)


def functionals(images: Tensor) -> Tensor:
    """Twenty numbers of every image (N, 1, H, W): energies of bands in a piece, means of quarters, projections."""
    generator = torch.Generator().manual_seed(11)
    top, left = ((side - _PIECE) // 2 for side in images.shape[-2:])
    piece = images[..., top : top + _PIECE, left : left + _PIECE]
    bands = ring_means(power_of(piece)[:, 0], _PIECE)[:, 1:].unflatten(1, (_BANDS, -1)).mean(2)
    means = F.adaptive_avg_pool2d(images, 2).flatten(1)
    patterns = torch.randn(_PATTERNS, images[0].numel(), generator=generator).to(images)
    return torch.cat((bands, means, images.flatten(1) @ patterns.T), dim=1)


@torch.inference_mode()
def calibrate(
    flow: ImageFlow, seen: Seen, images: Tensor, *, seed: int = 0, progress: Progress = unheard
) -> Calibration:
    """Rank every image among 19 samples of what was seen of it (Talts et al. 2018, arXiv:1804.06788).

    What was seen must be z + ε η of these images: given z itself, an image lies nearer to the mean than its samples.

    Args:
        flow: of the layer and domain.
        seen: of N images.
        images: the true ones, (N, 1, H, W), normalised; sides multiples of the flow's `period`.
        seed: of v.
        progress: called after every image.
    """
    generator = torch.Generator().manual_seed(seed)
    ranks, covered, found, energies, conditions = [], [], [], [], []
    for rows in torch.arange(len(images)).split(_AT_ONCE):
        here = seen.of(rows)
        own = images[rows]
        truth, condition = functionals(own), flow.condition(here)
        v, _ = flow(own, here)
        drawn = torch.stack(
            [flow.inverse(torch.randn(v.shape, generator=generator).to(v), here) for _ in range(SAMPLES)]
        )
        ranks.append(torch.stack([functionals(each) < truth for each in drawn]).sum(0))
        covered.append(((own >= drawn.amin(0)) & (own <= drawn.amax(0))).float().mean((1, 2, 3)))
        found.append(v.flatten().double())
        energies.append(v.square().mean(1).flatten())
        conditions.append(condition.transpose(0, 1).flatten(1))
        progress((int(rows[-1]) + 1) / len(images))
    every = torch.cat(found)
    both = torch.cat((torch.cat(energies).log()[None], torch.cat(conditions, dim=1)))
    return Calibration(
        torch.cat(ranks).cpu(),
        float(torch.cat(covered).mean()),
        float(every.mean()),
        float(every.std()),
        _distance(every),
        float(torch.corrcoef(both[both.std(1) > 0])[0, 1:].abs().max()),
    )


def _distance(values: Tensor) -> float:
    """Of the empirical distribution function from that of N(0, 1)."""
    ordered = torch.special.ndtr(values.sort().values)
    steps = torch.arange(len(values) + 1).to(ordered) / len(values)
    return float(torch.maximum((steps[1:] - ordered).abs(), (ordered - steps[:-1]).abs()).max())
