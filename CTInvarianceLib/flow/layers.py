"""Linear and convolutional layers whose first weights come from a generator, never from global state."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)


def linear(inputs: int, outputs: int, *, generator: torch.Generator, bias: bool = True) -> nn.Linear:
    """A linear layer, initialised as PyTorch does: U(-b, b) with b = 1/√fan-in."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)
    return _uniform(layer, inputs, generator)


def convolution(
    inputs: int,
    outputs: int,
    *,
    size: int = 3,
    stride: int = 1,
    bias: bool = True,
    generator: torch.Generator,
) -> nn.Conv2d:
    """A convolution that keeps the size of its maps (stride 1), initialised like `linear`; `size` is odd."""
    layer = nn.utils.skip_init(nn.Conv2d, inputs, outputs, size, stride=stride, padding=size // 2, bias=bias)
    return _uniform(layer, size**2 * inputs, generator)


def _uniform(layer: Layer, fan_in: int, generator: torch.Generator) -> Layer:
    bound = fan_in**-0.5
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return layer
