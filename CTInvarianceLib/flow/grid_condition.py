"""What the condition adds to every step of a grid flow, at every scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .condition import ResidualStage
from .layers import convolution


class ConditionPyramid(nn.Module):
    """Condition maps (N, k, h, w) to feature maps (N, width, h/2ˡ, w/2ˡ) for l = 0 … levels.

    Args:
        channels: k.
        width: channels of the feature maps.
        levels: how often the resolution is halved.
        generator: draws the first weights.
    """

    def __init__(self, channels: int, width: int, levels: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.first = convolution(channels, width, generator=generator)
        self.stages = nn.ModuleList(ResidualStage(width, generator=generator) for _ in range(levels))

    def forward(self, condition: Tensor) -> list[Tensor]:
        """Finest level first."""
        maps = self.first(condition)
        levels = [F.silu(maps)]
        for stage in self.stages:
            maps = stage(maps)
            levels.append(F.silu(maps))
        return levels

    @property
    def radius(self) -> int:
        """Cells of the finest grid from which a condition still reaches a coarsest cell's features."""
        # The first convolution; then for each stage one on the finer and one on the coarser grid.
        return 1 + sum(2**level + 2 ** (level + 1) for level in range(len(self.stages)))


class LevelContext(nn.Module):
    """Contexts of all couplings and parameters of all injectors of one level, in one product each.

    Args:
        inputs: channels of the level's feature maps; 0: there is no condition, the contexts are biases.
        steps: of the level.
        hidden: width of the couplings.
        channels: of the level's latents.
        generator: draws the first weights.
    """

    def __init__(
        self, inputs: int, *, steps: int, hidden: int, channels: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.steps = steps
        self.bias = nn.Parameter(torch.zeros(1, steps * hidden, 1, 1))
        self.context = (
            convolution(inputs, steps * hidden, size=1, bias=False, generator=generator) if inputs else None
        )
        self.inject: nn.Conv2d | None = None
        if inputs:
            self.inject = convolution(inputs, steps * 2 * channels, size=1, generator=generator)
            for parameter in self.inject.parameters():
                nn.init.zeros_(parameter)

    def forward(self, maps: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
        """One context and, with a condition, one injector's parameters per step."""
        if maps is None or self.context is None or self.inject is None:
            return [(part, None) for part in self.bias.chunk(self.steps, dim=1)]
        contexts = (self.context(maps) + self.bias).chunk(self.steps, dim=1)
        return list(zip(contexts, self.inject(maps).chunk(self.steps, dim=1), strict=True))
