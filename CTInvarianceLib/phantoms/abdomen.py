"""An axial slice through the abdomen: at the liver and spleen, or below at the kidneys and bowel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Array, Canvas, common, ellipse, oval, rod, union
from .skeleton import SPINE_MM, Ribs, Spine, paint_ribs, paint_vertebra
from .vessels import Tree

Spot = tuple[float, float, float, float]  # x, y, radius in mm, HU relative to what is around


@dataclass(frozen=True)
class Abdomen:
    """The figures of one patient, mm and HU."""

    a: float
    b: float
    fat: float
    upper: bool
    contrast: float  # enhancement of blood in HU, 0 without contrast medium
    liver: float
    liver_size: float
    lesions: tuple[Spot, ...]
    gallbladder: bool
    gas: float  # height in mm of the gas in the stomach
    loops: tuple[Spot, ...]  # bowel; the last figure is the HU of what it holds
    plaque: bool
    spine: Spine
    ribs: Ribs
    vessels: Tree

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Abdomen:
        """Random figures."""
        a, upper = rng.uniform(148, 174), bool(rng.random() < 0.55)
        contrast = float(rng.choice([0.0, rng.uniform(70, 120)]))
        return cls(
            a=a,
            b=a * rng.uniform(0.73, 0.79),
            fat=rng.uniform(10, 26),
            upper=upper,
            contrast=contrast,
            liver=rng.uniform(52, 64) + 0.45 * contrast,
            liver_size=rng.uniform(0.92, 1.06) if upper else rng.uniform(0.60, 0.72),
            lesions=_lesions(rng),
            gallbladder=bool(rng.random() < 0.5),
            gas=rng.uniform(8, 24),
            loops=_loops(rng, upper),
            plaque=bool(rng.random() < 0.4),
            spine=Spine.draw(rng, lumbar=True),
            ribs=Ribs.draw(rng, 0.95, -0.25, 4 if upper else 3),
            vessels=_tree(rng),
        )

    @property
    def cavity(self) -> tuple[float, float]:
        """Half axes of what the muscles of the trunk enclose."""
        return self.a - self.fat * 1.15 - 15, self.b - self.fat * 0.9 - 11

    def paint(self, c: Canvas) -> None:
        """Everything, from the skin inwards."""
        f_body = oval(c, 0, 0, self.a, self.b, power=2.3)
        c.paint(f_body, 10.0)
        c.paint(f_body + 2, -104 + 7 * c.noise(6, 20))
        f_cavity = oval(c, 0, -4, *self.cavity, power=2.2)
        self._trunk(c, f_cavity)
        strands = 45 * np.clip(c.noise(9, 41) - 1.2, 0, 1.5)
        c.paint(f_cavity, -104 + 6 * c.noise(5, 42) + strands)
        self._mesentery(c, f_cavity)
        self._retroperitoneum(c)
        if self.upper:
            self._spleen_and_stomach(c, f_cavity)
        self._liver(c, f_cavity)
        self._bowel(c, f_cavity)
        paint_vertebra(c, self.spine)
        paint_ribs(c, self.ribs, f_cavity, self.cavity, -4)

    def _trunk(self, c: Canvas, f_cavity: Array) -> None:
        """Wall of muscle layers with strands of fat."""
        streaks = 110 * np.clip(1 - np.abs(c.noise(13, 43)) / 0.08, 0, 1)
        muscle = 55 + 5 * c.noise(3, 25) - 0.7 * streaks
        layers = np.clip(1 - np.abs(f_cavity - 5.5 - c.noise(30, 44)) / 0.8, 0, 1)
        c.paint(f_cavity - 10.5, muscle - 90 * layers * (c.y < 60))

    def _mesentery(self, c: Canvas, f_cavity: Array) -> None:
        """Vessels in the fat, seen end on."""
        f = (1.75 - c.noise(7, 45)) * 5
        c.paint(f, 50 + 0.8 * self.contrast, c.coverage(f_cavity + 12) * 0.8)

    def _retroperitoneum(self, c: Canvas) -> None:
        """Muscles beside the spine, psoas, kidneys, aorta, vena cava, pancreas."""
        x, y = SPINE_MM
        streaks = 90 * np.clip(1 - np.abs(c.noise(13, 43)) / 0.08, 0, 1)
        muscle = 56 + 5 * c.noise(3, 25) - streaks
        for side in (-1, 1):
            c.paint(ellipse(c, x + side * 32, y + 42, 31, 20, side * 0.12), muscle)
            c.paint(ellipse(c, x + side * 58, y + 22, 20, 8, side * -0.5), muscle)
        blood = 45 + 1.1 * self.contrast + 3 * c.noise(4, 27)
        for side in (-1, 1):
            size = 11.0 if self.upper else 17.0
            c.paint(ellipse(c, x + side * 35, y + 8, size, size * 1.25, side * 0.3), 56 + 5 * c.noise(3, 25))
            self._kidney(c, side)
        f_aorta = ellipse(c, x + 9, y - 30, 10.5, 10.5)
        c.paint(f_aorta, blood)
        if self.plaque:
            c.paint(np.abs(f_aorta + 1) - 1.1, 650.0, np.clip(2 * c.noise(14, 46) - 1.6, 0, 1))
        c.paint(ellipse(c, x - 20, y - 27, 13, 9, 0.2), blood - 0.25 * self.contrast)
        if self.upper:
            lobes = [rod(c, (-26, 2), (4, -8), 9), rod(c, (4, -8), (52, 14), 8)]
            c.paint(union(*lobes, blend=8) + 1.5 * c.noise(7, 47), 46 + 0.4 * self.contrast)
            c.paint(ellipse(c, 4, 8, 5, 5), blood)

    def _kidney(self, c: Canvas, side: int) -> None:
        """Cortex, darker pyramids of the medulla, fat in the sinus, which opens to the middle and front."""
        x, y, angle = side * 66.0, 36.0, side * 0.7
        grow = 0.8 if self.upper and side > 0 else 1.0
        f = ellipse(c, x, y, 22 * grow, 29 * grow, -angle)
        medulla = np.clip(1.5 * c.noise(8, 48), 0, 1) * c.coverage(f + 6)
        c.paint(f, 34 + 1.5 * self.contrast - 0.55 * self.contrast * medulla + 3 * c.noise(3, 49))
        sinus = ellipse(c, x - side * 7, y - 4, 7 * grow, 13 * grow, -angle)
        c.paint(sinus + 2 * c.noise(6, 50), -75.0)
        c.paint(rod(c, (x - side * 8, y - 4), (x - side * 20, y - 12), 3.5), -80.0)
        c.paint(rod(c, (x - side * 6, y - 2), (side * 30.0, y - 16), 1.7), 40 + self.contrast)

    def _liver(self, c: Canvas, f_cavity: Array) -> None:
        """Right and left lobe along the right wall, with vessels and sometimes lesions."""
        s, (a, _) = self.liver_size, self.cavity
        right = ellipse(c, -a * 0.60, -14, 70 * s, 80 * s**0.5, 0.25)
        shapes = [right, ellipse(c, -12, -56, 58, 25, 0.18)] if self.upper else [right]
        fissure = rod(c, (-22, -84), (-16, -42), 1.8)
        f_spine = ellipse(c, *SPINE_MM, 44, 48)
        f = common(union(*shapes, blend=22), f_cavity + 2.5, -f_spine, blend=9)
        f = common(f, -ellipse(c, -66, 40, 28, 35, 0.7), blend=5)
        c.paint(f, self.liver + 2.5 * c.noise(3, 51) + 3 * c.noise(20, 52))
        c.paint(fissure, -70.0, c.coverage(f + 2) * 0.8)
        within = c.coverage(f + 3)
        self.vessels.paint(c, self.liver + (0.35 * self.contrast if self.contrast else -13.0), within)
        for x, y, radius, delta in self.lesions:
            c.paint(ellipse(c, x, y, radius, radius * 0.9) + 0.8 * c.noise(9, 53), self.liver + delta, within)
        if self.gallbladder:
            f_bladder = ellipse(c, -40, -48, 14, 23, 0.5)
            c.paint(f_bladder - 1.5, 45.0)
            c.paint(f_bladder, 9.0)

    def _spleen_and_stomach(self, c: Canvas, f_cavity: Array) -> None:
        a = self.cavity[0]
        f_spleen = common(
            ellipse(c, a - 26, 22, 30, 52, -0.25), f_cavity + 3, -ellipse(c, a - 62, 12, 34, 40), blend=7
        )
        c.paint(f_spleen, 50 + 0.65 * self.contrast + 2 * c.noise(3, 54))
        f_wall = union(ellipse(c, 52, -48, 47, 30, 0.3), ellipse(c, 68, -22, 32, 38, -0.2), blend=18)
        f_wall = common(f_wall, f_cavity + 4, blend=6)
        f = f_wall + 4.5 + 1.2 * c.noise(8, 55)
        c.paint(f_wall, 48 + 0.35 * self.contrast)
        food = 18 + 16 * np.clip(c.noise(6, 56), -0.5, 1.5)
        surface = c.y - c.hu.dtype.type(-72 + self.gas)  # gas collects in front, above a level surface
        c.paint(f, food)
        c.paint(common(f, surface), -985.0)

    def _bowel(self, c: Canvas, f_cavity: Array) -> None:
        """Loops with a wall, filled with fluid, stool or gas."""
        allowed = c.coverage(f_cavity + 4)
        for x, y, radius, inside in self.loops:
            f = ellipse(c, x, y, radius * 1.15, radius, x / 40) + 2.6 * c.noise(13, 57) + 1.3 * c.noise(6, 59)
            c.paint(f, 44 + 0.5 * self.contrast, allowed)
            filling = inside + (160 if inside < -200 else 10) * np.clip(c.noise(3.5, 58), -1, 1)
            c.paint(f + 2.2, np.maximum(filling, -985), allowed)


def _lesions(rng: np.random.Generator) -> tuple[Spot, ...]:
    count = int(rng.choice([0, 0, 1, 2, 3]))
    return tuple(
        (
            float(rng.uniform(-110, -50)),
            float(rng.uniform(-55, 25)),
            float(rng.uniform(5, 14)),
            float(rng.choice([-1, -1, 1]) * rng.uniform(15, 30)),
        )
        for _ in range(count)
    )


def _loops(rng: np.random.Generator, upper: bool) -> tuple[Spot, ...]:
    """Colon on either side, and small bowel in the front where the liver leaves room."""
    places = [(92.0, -30.0), (60.0, -70.0), (20.0, -72.0)] if upper else []
    if not upper:
        places = [
            (-88, 20),
            (98, 10),
            (-30, -68),
            (4, -74),
            (36, -70),
            (66, -56),
            (84, -28),
            (52, -34),
            (22, -44),
            (-10, -42),
            (60, -6),
            (30, -14),
        ]
    fillings = (25.0, 25.0, 25.0, -980.0, -350.0)
    return tuple(
        (
            x + float(rng.uniform(-8, 8)),
            y + float(rng.uniform(-7, 7)),
            float(rng.uniform(9, 17)),
            float(rng.choice(fillings)),
        )
        for x, y in places
        if rng.random() < (0.55 if upper else 0.9)
    )


def _tree(rng: np.random.Generator) -> Tree:
    roots = [(-32.0, 2.0, float(rng.uniform(-8, 8))) for _ in range(4)]
    angles = np.linspace(2.2, 4.3, 4) + rng.uniform(-0.2, 0.2, 4)
    directions = [(float(np.cos(t)), float(np.sin(t)), float(rng.normal(0, 0.25))) for t in angles]
    return Tree.grow(rng, roots, directions, radius=5.0, length=26, generations=5)
