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


def convolution(inputs: int, outputs: int, *, stride: int = 1, generator: torch.Generator) -> nn.Conv2d:
    """A 3x3 convolution with padding 1, initialised like `linear`."""
    layer = nn.utils.skip_init(nn.Conv2d, inputs, outputs, 3, stride=stride, padding=1)
    return _uniform(layer, 9 * inputs, generator)


def _uniform(layer: Layer, fan_in: int, generator: torch.Generator) -> Layer:
    bound = fan_in**-0.5
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return layer
