"""What phantoms are drawn with: a slice to paint smooth shapes on, distances to shapes, and seeded texture.

Coordinates are millimetres in the phantom's frame: x to the patient's left (right in the image), y to the back
(down), z to the head; the origin is the middle of the body. A shape is a function f of position that is about the
distance to its boundary in mm, negative inside, so that edges are antialiased and hollow shapes are f + thickness.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
EDGE_MM = 1.2  # width of an edge: about the resolution of a soft-tissue kernel
LATTICE = (16, 48, 48)


class Texture:
    """Smooth random fields of unit variance: a periodic lattice of N(0, 1), interpolated by cubic B-splines.

    Fields depend on the position in mm only, so zooming in or moving along z shows the same tissue.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._lattice = rng.standard_normal(LATTICE, dtype=np.float32)

    def __call__(self, x: Array, y: Array, z: float, scale: float, number: int = 0) -> Array:
        """The field at a grid x (columns,), y (rows,) and one z, mm.

        Args:
            x: columns' positions in mm.
            y: rows' positions in mm.
            z: the slice's position in mm.
            scale: distance of the lattice's points in mm.
            number: selects one of many nearly independent fields.
        """
        shift = number * np.array([5.3, 17.7, 29.1])
        planes = np.tensordot(_spline_weights(np.array([z]), scale, shift[0], LATTICE[0]), self._lattice, 1)[
            0
        ]
        rows = _spline_weights(y, scale, shift[1], LATTICE[1])
        columns = _spline_weights(x, scale, shift[2], LATTICE[2])
        # The mean square of cubic B-spline weights is 151 / 315 per dimension.
        return np.asarray(rows @ planes @ columns.T / (151 / 315) ** 1.5, dtype=np.float32)


def _spline_weights(position: NDArray[np.floating], scale: float, shift: float, count: int) -> Array:
    """Cubic B-spline weights of each position on a periodic lattice: (positions, count)."""
    u = np.asarray(position, dtype=np.float64) / scale + shift
    base = np.floor(u).astype(int)
    t = u - base
    taps = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((len(u), count), dtype=np.float32)
    for k, tap in enumerate(taps):
        weights[np.arange(len(u)), (base + k - 1) % count] = tap / 6
    return weights


@dataclass
class Canvas:
    """One slice to paint on: positions in mm (bent a little, so that nothing is a perfect ellipse) and HU."""

    texture: Texture
    columns: Array  # x of each column, mm, before bending
    rows: Array  # y of each row
    z: float
    x: Array  # (rows, columns), bent
    y: Array
    hu: NDArray[np.float32] = field(repr=False)
    edge: float

    @classmethod
    def blank(
        cls,
        texture: Texture,
        size: int,
        pixel_mm: float,
        center_mm: tuple[float, float],
        z: float,
        bend: float,
    ) -> Canvas:
        """Air, -1000 HU; ``bend`` is the standard deviation in mm by which shapes are deformed."""
        offset = ((np.arange(size) - (size - 1) / 2) * pixel_mm).astype(np.float32)
        columns, rows = offset + np.float32(center_mm[0]), offset + np.float32(center_mm[1])
        x = columns[None] + bend * texture(columns, rows, z, 55.0, 1)
        y = rows[:, None] + bend * texture(columns, rows, z, 55.0, 2)
        hu = np.full((size, size), -1000, dtype=np.float32)
        return cls(texture, columns, rows, z, x, y, hu, max(EDGE_MM, pixel_mm))

    def noise(self, scale: float, number: int) -> Array:
        """A texture of unit variance over the slice, lattice distance in mm."""
        return self.texture(self.columns, self.rows, self.z, scale, number)

    def coverage(self, f: Array) -> Array:
        """How much of each pixel a shape covers, 0 to 1."""
        return (0.5 - f / self.edge).clip(0, 1)

    def paint(self, f: Array, hu: Array | float, within: Array | float = 1.0) -> None:
        """Fill a shape, over what is there, where ``within`` (a coverage) allows it."""
        self.hu += self.coverage(f) * within * (hu - self.hu)

    def near(self, x: float, y: float, reach: float, *, bent: bool = True) -> tuple[slice, slice] | None:
        """The part of the slice at most ``reach`` mm from a point, to paint small shapes fast."""
        margin = reach + self.edge + (12.0 if bent else 0.0)  # 12 mm: more than any bending
        i = self.columns.searchsorted((x - margin, x + margin))
        j = self.rows.searchsorted((y - margin, y + margin))
        return None if i[0] == i[1] or j[0] == j[1] else (slice(*j), slice(*i))

    def part(self, box: tuple[slice, slice]) -> Canvas:
        """A view of a part: what is painted on it appears on the whole."""
        j, i = box
        x, y, hu = self.x[box], self.y[box], self.hu[box]
        return Canvas(self.texture, self.columns[i], self.rows[j], self.z, x, y, hu, self.edge)


def ellipse(c: Canvas, x: float, y: float, a: float, b: float, angle: float = 0.0) -> Array:
    """About the distance to an ellipse of half axes a, b (mm), turned by ``angle`` (radians)."""
    u, v = _turned(c, x, y, angle)
    k = np.sqrt((u / a) ** 2 + (v / b) ** 2)
    slope = np.sqrt((u / a**2) ** 2 + (v / b**2) ** 2) + 1e-6
    return np.asarray(np.where(k < 0.2, -0.8 * min(a, b), k * (k - 1) / slope), dtype=np.float32)


def oval(c: Canvas, x: float, y: float, a: float, b: float, power: float) -> Array:
    """About the distance to the superellipse |x/a|^n + |y/b|^n = 1: a body or a chest, squarer than an ellipse."""
    u, v = np.abs(c.x - x) / a, np.abs(c.y - y) / b
    k = (u**power + v**power + 1e-9) ** (1 / power)
    slope = k ** (1 - power) * np.hypot(u ** (power - 1) / a, v ** (power - 1) / b) + 1e-6
    return np.asarray(np.where(k < 0.2, -0.8 * min(a, b), (k - 1) / slope), dtype=np.float32)


def rod(c: Canvas, start: tuple[float, float], end: tuple[float, float], radius: float) -> Array:
    """Distance to a straight rod with round ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    u, v = c.x - start[0], c.y - start[1]
    t = np.clip((u * dx + v * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
    return np.asarray(np.hypot(u - t * dx, v - t * dy) - radius, dtype=np.float32)


def _turned(c: Canvas, x: float, y: float, angle: float) -> tuple[Array, Array]:
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = c.x - x, c.y - y
    return u * cos + v * sin, v * cos - u * sin


def union(*shapes: Array, blend: float = 0.0) -> Array:
    """All shapes together; ``blend`` rounds the corner between them, mm."""
    total = shapes[0]
    for shape in shapes[1:]:
        h = np.maximum(blend - np.abs(total - shape), 0)
        total = np.minimum(total, shape) - (h * h / (4 * blend) if blend else 0)
    return total


def common(*shapes: Array, blend: float = 0.0) -> Array:
    """What all shapes share; ``blend`` rounds the corner, mm."""
    return -union(*(-shape for shape in shapes), blend=blend)
