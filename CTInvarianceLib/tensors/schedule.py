"""The learning rate that every training loop follows."""

from __future__ import annotations

import math

WARM_UP = 0.05
"""Share of the steps during which the learning rate rises."""


def rate_factor(step: int, steps: int) -> float:
    """Learning rate at a step (from 0) relative to the largest: linear warm-up, then cosine decay to 0."""
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
