"""How fast this machine is, measured in a moment, so that the time of a plan can be told before it is spent."""

from __future__ import annotations

import time

import torch

PLANNED_RATE = 60e9  # multiplications a second of the machine that the plan's seconds are of
_CHANNELS, _SIDE, _IMAGES = 64, 64, 8


def seconds_per_planned(device: torch.device) -> float:
    """Seconds here for one of the plan: forward and backward through a convolution as denoisers have them."""
    weights = torch.ones(_CHANNELS, _CHANNELS, 3, 3, device=device, requires_grad=True)
    images = torch.ones(_IMAGES, _CHANNELS, _SIDE, _SIDE, device=device, requires_grad=True)
    _pass(images, weights)  # the first one prepares
    start = time.perf_counter()
    _pass(images, weights)
    multiplications = 3 * _IMAGES * _SIDE**2 * 9 * _CHANNELS**2
    return (time.perf_counter() - start) * PLANNED_RATE / multiplications


def _pass(images: torch.Tensor, weights: torch.Tensor) -> None:
    gradients = torch.autograd.grad(
        torch.nn.functional.conv2d(images, weights, padding=1).mean(), (images, weights)
    )
    gradients[1].sum().item()  # waits for the device
