"""Bones that chest and abdomen share: vertebra, ribs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Array, Canvas, ellipse, rod, union

SPINE_MM = (0.0, 46.0)  # where the middle of the vertebral body lies in chest and abdomen


@dataclass(frozen=True)
class Spine:
    """A vertebra's figures: size of the body (mm), HU of cortex and spongy bone, length of its processes."""

    a: float
    b: float
    cortex: float
    spongy: float
    process: float
    lumbar: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, *, lumbar: bool) -> Spine:
        """Random figures."""
        grow = rng.uniform(0.92, 1.08)
        a, b = (23.0, 17.0) if lumbar else (16.5, 15.0)
        cortex, spongy = rng.uniform(850, 1000), rng.uniform(190, 280)
        return cls(a * grow, b * grow, cortex, spongy, (29.0 if lumbar else 28.0) * grow, lumbar)


def paint_vertebra(whole: Canvas, spine: Spine) -> None:
    """Body with a thin cortex and trabeculae, dense arch and processes, canal with cord or nerves."""
    sx, sy = SPINE_MM
    box = whole.near(sx, sy + 15, 60)
    if box is None:
        return
    c, (a, b) = whole.part(box), (spine.a, spine.b)
    canal_y = sy + b + (8.0 if spine.lumbar else 7.5)
    f_canal = ellipse(c, sx, canal_y, 12.0 if spine.lumbar else 9.5, 8.5)
    f_arch = _arch(c, spine, canal_y)
    # The back of the body is hollowed by the canal.
    f_body = np.maximum(
        union(ellipse(c, sx, sy, a, b), ellipse(c, sx, sy + 5, a * 0.96, b * 0.8), blend=4), -f_canal
    )
    trabeculae = 26 * c.noise(1.8, 11) + 18 * c.noise(4.5, 12)
    marrow = 0.55 * spine.spongy + 0.45 * spine.cortex
    c.paint(f_arch, spine.cortex)
    c.paint(f_arch + 3.2, marrow + 1.5 * trabeculae)
    c.paint(f_body, spine.cortex * 0.8)
    c.paint(f_body + 1.7, spine.spongy + trabeculae)
    c.paint(
        rod(c, (sx, sy + b * 0.35), (sx, sy + b), 1.2), 60.0, 0.6 * c.coverage(f_body + 2)
    )  # basivertebral vein
    c.paint(f_canal, -60.0)
    c.paint(f_canal + 1.5, 22.0 + 3 * c.noise(4, 13))
    if not spine.lumbar:
        c.paint(ellipse(c, sx, canal_y, 5.5, 4.2), 42.0)


def _arch(c: Canvas, spine: Spine, canal_y: float) -> Array:
    """Pedicles, laminae, spinous and transverse processes in one."""
    sx, tip = SPINE_MM[0], canal_y + spine.process
    side = 14.5 if spine.lumbar else 12.5
    reach = side + (26.0 if spine.lumbar else 17.0)
    drop = 2.0 if spine.lumbar else 9.0
    parts = [rod(c, (sx, canal_y + 13), (sx, tip), 3.4)]
    for sign in (-1, 1):
        x = sx + sign * side
        parts.append(rod(c, (x, canal_y - 9), (x, canal_y + 3), 4.0))
        parts.append(rod(c, (x, canal_y + 3), (sx, canal_y + 13), 4.2))
        parts.append(rod(c, (x, canal_y + 2), (sx + sign * reach, canal_y + 2 + drop), 3.6))
    return union(*parts, blend=5)


@dataclass(frozen=True)
class Ribs:
    """Where ribs cross the slice: angles around the chest (radians, 0 to the left, pi/2 to the back)."""

    angles: tuple[float, ...]
    lengths: tuple[float, ...]
    slope: float  # radians per mm: ribs run downwards to the front

    @classmethod
    def draw(cls, rng: np.random.Generator, first: float, last: float, count: int) -> Ribs:
        """``count`` ribs on either side, from the back (``first``) to the front (``last``), radians."""
        angles, lengths = [], []
        for side in (1, -1):
            steps = np.linspace(first, last, count) + rng.uniform(-0.09, 0.09, count)
            angles += [float(a if side > 0 else np.pi - a) for a in steps]
            lengths += [float(length) for length in rng.uniform(7, 17, count)]
        return cls(tuple(angles), tuple(lengths), float(rng.uniform(0.006, 0.010)))


def paint_ribs(whole: Canvas, ribs: Ribs, f_cage: Array, radii: tuple[float, float], center_y: float) -> None:
    """Short bright arcs on the outside of the rib cage, whose shape is ``f_cage`` and whose half axes ``radii``."""
    around = np.arctan2((whole.y - center_y) / radii[1], whole.x / radii[0])
    for angle, half in zip(ribs.angles, ribs.lengths, strict=True):
        drift = -ribs.slope * whole.z * (1 if np.cos(angle) > 0 else -1)
        x, y = radii[0] * np.cos(angle + drift), center_y + radii[1] * np.sin(angle + drift)
        box = whole.near(float(x), float(y), half + 10)
        if box is None:
            continue
        c, turn = whole.part(box), around[box] - (angle + drift)
        turn = (turn + np.pi) % (2 * np.pi) - np.pi
        size = np.hypot(radii[0] * np.sin(angle + drift), radii[1] * np.cos(angle + drift))
        along = np.maximum(np.abs(turn) * size - half, 0)
        f = np.hypot(f_cage[box] - 4.5, along).astype(np.float32) - 3.4
        c.paint(f, 820.0)
        c.paint(f + 1.6, 240.0 + 50 * c.noise(2.0, 14))
