"""The conditional invertible network t(· given z) for latent grids of any size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import ConfigError
from .grid_condition import ConditionPyramid, LevelContext
from .grid_coupling import Injector
from .grid_step import GridStep
from .interface import Flow, Standardise, check_at_least, check_condition
from .layers import convolution
from .mixing import ChannelMixing


class ConvolutionalFlow(Flow):
    """A multi-scale Glow, conditioned at every step: v = t(z̄ given z) for grids z̄ (N, c, h, w) of any size.

    At the grid's own resolution, channels are mixed and an injector says what the condition knows of the mean and
    the spread of every cell: where z tells little, at edges, cells vary more. Then a level squeezes 2×2 cells into
    one, takes some steps and lets half of the channels go as part of v; the other half goes on to the next level. v
    is put together again to the shape of z̄. All is convolutional: shifting latent and condition by a multiple of
    `multiple` shifts v, away from the borders, where convolutions see zeros.

    Kingma & Dhariwal, Glow, 2018, arXiv:1807.03039; multi-scale: Dinh et al., Real NVP, 2017, arXiv:1605.08803.

    Args:
        channels: c.
        condition_channels: k of the condition maps (N, k, h, w), which lie on the latent's grid; 0: unconditional.
        levels: number of scales.
        steps: at every scale.
        hidden: width of the couplings' hidden layers.
        depth: number of hidden layers of each coupling.
        clamp: largest |log scale| of a coupling or an injector.
        condition_width: channels of the condition's feature maps.
        seed: fixes the first weights.

    Raises:
        ConfigError: a size that is not possible.
    """

    initialised: Tensor

    def __init__(
        self,
        channels: int,
        condition_channels: int,
        levels: int = 2,
        steps: int = 6,
        hidden: int = 64,
        *,
        depth: int = 2,
        clamp: float = 2.0,
        condition_width: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_at_least(1, channels=channels, levels=levels, steps=steps, hidden=hidden, depth=depth)
        check_at_least(1, condition_width=condition_width)
        check_at_least(0, condition_channels=condition_channels)
        generator = torch.Generator().manual_seed(seed)
        self.channels, self.condition_channels = channels, condition_channels
        self.standardise = Standardise(condition_channels)
        self.pyramid = (
            ConditionPyramid(condition_channels, condition_width, levels, generator=generator)
            if condition_channels
            else None
        )
        self.mixing = ChannelMixing(channels, generator=generator)
        self.injector = Injector(clamp)
        self.inject: nn.Conv2d | None = None
        if condition_channels:
            self.inject = convolution(condition_width, 2 * channels, size=1, generator=generator)
            for parameter in self.inject.parameters():
                nn.init.zeros_(parameter)
        sizes = [4 * channels * 2**level for level in range(levels)]
        self.contexts = nn.ModuleList(
            LevelContext(
                condition_width if condition_channels else 0,
                steps=steps,
                hidden=hidden,
                channels=size,
                generator=generator,
            )
            for size in sizes
        )
        self.levels = nn.ModuleList(
            nn.ModuleList(
                GridStep(size, hidden=hidden, depth=depth, clamp=clamp, generator=generator)
                for _ in range(steps)
            )
            for size in sizes
        )
        self.register_buffer("initialised", torch.tensor(False))

    @property
    def multiple(self) -> int:
        """Both sides of a grid must be multiples of this."""
        return int(2 ** len(self.levels))

    @property
    def radius(self) -> int:
        """Cells, upwards rounded to `multiple`, from which v or the condition still changes a cell of z̄."""
        steps = sum(len(level) * 2 ** (number + 1) for number, level in enumerate(self._levels()))
        reach = steps + self.multiple + (self.pyramid.radius if self.pyramid is not None else 0)
        return -(-reach // self.multiple) * self.multiple

    def forward(self, latent: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """v (N, c, h, w) and log|det ∂v/∂z̄| (N,) in nats.

        Args:
            latent: z̄ (N, c, h, w).
            condition: (N, k, h, w), or (1, k, h, w) for all latents; None for an unconditional flow.

        Raises:
            ConfigError: shapes that do not fit the flow or each other, or sides that are no multiple of `multiple`.
        """
        return self._forward(latent, condition, whiten=False)

    def inverse(self, v: Tensor, condition: Tensor | None = None) -> Tensor:
        """z̄ (N, c, h, w) with forward(z̄, condition)[0] = v; arguments and errors as for `forward`."""
        parameters, contexts = self._contexts(v, condition)
        x, kept = v, []
        for _ in range(len(self.levels) - 1):
            x, part = F.pixel_unshuffle(x, 2).chunk(2, dim=1)
            kept.append(part)
        x = F.pixel_unshuffle(x, 2)
        for number in reversed(range(len(self.levels))):
            if number < len(kept):
                x = torch.cat((x, kept[number]), dim=1)
            for step, context in reversed(list(zip(self._steps(number), contexts[number], strict=True))):
                x = step.inverse(x, *context)
            x = F.pixel_shuffle(x, 2)
        return self.mixing.inverse(x if parameters is None else self.injector.inverse(x, parameters))

    @torch.no_grad()
    def initialise(self, latent: Tensor, condition: Tensor | None = None) -> None:
        """Set the standardisation of the condition and all mixings from one batch, so that v is white.

        Args and errors as for `forward`.
        """
        if condition is not None and self.condition_channels:
            self._check(latent, condition)
            self.standardise.initialise(condition)
        self._forward(latent, condition, whiten=True)
        self.initialised.fill_(True)

    def _forward(self, latent: Tensor, condition: Tensor | None, *, whiten: bool) -> tuple[Tensor, Tensor]:
        parameters, contexts = self._contexts(latent, condition)
        if whiten:
            self.mixing.initialise(latent)
        (x, log_det), kept = self.mixing(latent), []
        if parameters is not None:
            x, injected = self.injector(x, parameters)
            log_det = log_det + injected
        for number, level in enumerate(contexts):
            x = F.pixel_unshuffle(x, 2)
            for step, context in zip(self._steps(number), level, strict=True):
                if whiten:
                    step.mixing.initialise(x)
                x, step_log_det = step(x, *context)
                log_det = log_det + step_log_det
            if number < len(contexts) - 1:
                x, part = x.chunk(2, dim=1)
                kept.append(part)
        v = F.pixel_shuffle(x, 2)
        for part in reversed(kept):
            v = F.pixel_shuffle(torch.cat((v, part), dim=1), 2)
        return v, log_det

    def _contexts(
        self, latent: Tensor, condition: Tensor | None
    ) -> tuple[Tensor | None, list[list[tuple[Tensor, Tensor | None]]]]:
        """What the condition adds to the first injector and to each step, after all shapes have been checked."""
        self._check(latent, condition)
        if condition is None or self.pyramid is None or self.inject is None:
            return None, [context(None) for context in self.contexts]
        finest, *maps = self.pyramid(self.standardise(condition))
        return self.inject(finest), [context(part) for context, part in zip(self.contexts, maps, strict=True)]

    def _check(self, latent: Tensor, condition: Tensor | None) -> None:
        if latent.ndim != 4 or latent.shape[1] != self.channels:
            raise ConfigError(f"latents must be (N, {self.channels}, h, w)", where=tuple(latent.shape))
        rows, columns = latent.shape[2:]
        if rows % self.multiple or columns % self.multiple or not rows or not columns:
            raise ConfigError(
                f"the sides of the grid must be multiples of {self.multiple}",
                where=(rows, columns),
                hint="Pad the image before it is encoded.",
            )
        expected = f"(N, {self.condition_channels}, {rows}, {columns})"
        check_condition(condition, len(latent), expected=expected, none=self.condition_channels == 0)
        if condition is not None and condition.shape[1:] != (self.condition_channels, rows, columns):
            raise ConfigError(f"conditions must be {expected}", where=tuple(condition.shape))

    def _levels(self) -> list[list[GridStep]]:
        return [list(level) for level in self.levels]  # type: ignore[call-overload]

    def _steps(self, number: int) -> list[GridStep]:
        return self._levels()[number]
