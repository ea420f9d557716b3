"""Branching vessels in three dimensions, of which a slice shows a cross-section."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import Array, Canvas

SLICE_MM = 3.0


@dataclass(frozen=True)
class Tree:
    """Straight pieces: start and end (n, 3) in mm, radius (n,) in mm."""

    start: NDArray[np.float64]
    end: NDArray[np.float64]
    radius: NDArray[np.float64]

    @classmethod
    def grow(
        cls,
        rng: np.random.Generator,
        roots: list[tuple[float, float, float]],
        directions: list[tuple[float, float, float]],
        *,
        radius: float,
        length: float,
        generations: int,
    ) -> Tree:
        """Two branches from each end: thinner by 0.77 (about Murray's law), shorter by 0.86, turned at random."""
        start, direction = np.array(roots, float), np.array(directions, float)
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        pieces = []
        for generation in range(generations):
            stretch = rng.uniform(0.7, 1.3, len(start))
            end = start + direction * (length * 0.86**generation * stretch)[:, None]
            pieces.append((start, end, radius * 0.77**generation * rng.uniform(0.8, 1.1, len(start))))
            direction = np.repeat(direction, 2, 0) + rng.normal(0, 0.42, (2 * len(start), 3))
            direction /= np.linalg.norm(direction, axis=1, keepdims=True)
            start = np.repeat(end, 2, 0)
        return cls(*(np.concatenate(column) for column in zip(*pieces, strict=True)))

    def paint(self, whole: Canvas, hu: Array | float, within: Array) -> None:
        """Show the pieces that cross the slice, the thinnest fainter; not bent, as they are crooked anyway."""
        start, end, radius = self._crossing(whole.z)
        reach = np.linalg.norm(end - start, axis=1) / 2 + radius
        for p, q, r, (x, y), far in zip(start, end, radius, (start + end) / 2, reach, strict=True):
            box = whole.near(float(x), float(y), float(far), bent=False)
            if box is None or not within[box].any():
                continue
            f = _distance(whole.columns[box[1]], whole.rows[box[0], None], p, q) - r
            colour = hu[box] if isinstance(hu, np.ndarray) else hu
            here = whole.hu[box]
            here += whole.coverage(f) * within[box] * min(1.0, float(r) / 0.9) * (colour - here)

    def _crossing(self, z: float) -> tuple[Array, Array, Array]:
        """Ends (n, 2) and radius (n,) of the stretch of each piece that lies in the slice."""
        low = np.minimum(self.start[:, 2], self.end[:, 2]) - self.radius
        high = np.maximum(self.start[:, 2], self.end[:, 2]) + self.radius
        here = (low < z + SLICE_MM / 2) & (high > z - SLICE_MM / 2)
        p, d = self.start[here], (self.end - self.start)[here]
        climb = np.where(np.abs(d[:, 2]) > 1e-6, d[:, 2], 1e-6)[:, None]
        t = np.clip(np.sort((z - p[:, 2:] + np.array([-SLICE_MM, SLICE_MM]) / 2) / climb, axis=1), 0, 1)
        ends = (p[:, None] + t[:, :, None] * d[:, None])[:, :, :2].astype(np.float32)
        return ends[:, 0], ends[:, 1], self.radius[here].astype(np.float32)


def _distance(x: Array, y: Array, start: Array, end: Array) -> Array:
    """Of the grid x, y to the straight line from start to end, mm."""
    u, v, (a, b) = x - start[0], y - start[1], end - start
    s = ((u * a + v * b) / (a * a + b * b + np.float32(1e-6))).clip(0, 1)
    return np.asarray(np.hypot(u - s * a, v - s * b))
