"""An axial slice through the chest: between the aortic arch and the heart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Array, Canvas, common, ellipse, oval, rod, union
from .skeleton import Ribs, Spine, paint_ribs, paint_vertebra
from .vessels import Tree

CAGE_Y = -10.0  # the rib cage's middle


@dataclass(frozen=True)
class Chest:
    """The figures of one patient, mm and HU."""

    a: float
    b: float
    fat: float
    upper: bool  # great vessels and bronchi rather than the heart
    arms: bool
    scapulae: bool
    lung: float
    blood: float
    heart: tuple[float, float, float]  # half axes and angle
    spine: Spine
    ribs: Ribs
    vessels: Tree
    veins: Tree

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Chest:
        """Random figures."""
        arms, upper = bool(rng.random() < 0.25), bool(rng.random() < 0.5)
        a = rng.uniform(134, 140) if arms else rng.uniform(150, 172)
        heart = (rng.uniform(52, 62), rng.uniform(38, 46), rng.uniform(0.45, 0.75))
        return cls(
            a=a,
            b=a * rng.uniform(0.76, 0.81) if arms else a * rng.uniform(0.72, 0.79),
            fat=rng.uniform(8, 18),
            upper=upper,
            arms=arms,
            scapulae=bool(rng.random() < (0.8 if upper else 0.3)),
            lung=rng.uniform(-885, -835),
            blood=rng.choice([rng.uniform(38, 50), rng.uniform(140, 260)]),
            heart=heart,
            spine=Spine.draw(rng, lumbar=False),
            ribs=Ribs.draw(rng, 1.12, -1.0, int(rng.integers(5, 7))),
            vessels=_tree(rng, 3.8, 5, generations=9),
            veins=_tree(rng, 2.8, 5, generations=8),
        )

    @property
    def cage(self) -> tuple[float, float]:
        """Half axes of the chest cavity."""
        return self.a - self.fat - 22, self.b - self.fat * 0.8 - 21

    def paint(self, c: Canvas) -> None:
        """Everything, from the skin inwards."""
        f_cage = oval(c, 0, CAGE_Y, *self.cage, power=2.3)
        self._wall(c, f_cage)
        f_middle = self._mediastinum(c)
        f_lungs = common(f_cage, -f_middle, blend=14)
        c.paint(f_cage, -95 + 8 * c.noise(5, 21))
        c.paint(_back(c), 54 + 5 * c.noise(3, 25), c.coverage(f_cage))
        self._organs(c)
        paint_vertebra(c, self.spine)
        self._lungs(c, f_lungs)
        paint_ribs(c, self.ribs, f_cage, self.cage, CAGE_Y)
        front = CAGE_Y - self.cage[1] - 3
        f_sternum = ellipse(c, 0, front, 19, 6.5)
        c.paint(f_sternum, 560.0)
        c.paint(f_sternum + 1.8, 190 + 40 * c.noise(2.0, 22))

    def _wall(self, c: Canvas, f_cage: Array) -> None:
        """Skin, fat, muscles of the trunk (and of the back beside the spine), arms, scapulae."""
        f_body = oval(c, 0, 0, self.a, self.b, power=2.5)
        _skin(c, f_body)
        for side in (-1, 1) if self.arms else ():
            x = side * (self.a + 25)
            f_arm = ellipse(c, x, 18, 22, 26)
            _skin(c, f_arm)
            c.paint(f_arm + 6, 52.0)
            bone = ellipse(c, x, 18, 9, 9)
            c.paint(bone, 1000.0)
            c.paint(bone + 4, -40.0)
        layer = self.fat * (1 + 0.25 * c.noise(70, 23))
        planes = np.abs(c.noise(17, 24))  # fat between muscles lies along the zero lines of a smooth field
        muscle = 54 + 5 * c.noise(3, 25) - 120 * np.clip(1 - planes / 0.10, 0, 1)
        c.paint(f_body + layer, muscle)
        c.paint(f_cage - 9.5, -70 + 60 * np.clip(c.noise(12, 26), -0.5, 2))
        c.paint(f_cage - 8.5, 52 + 5 * c.noise(3, 25))
        for side in (-1, 1) if self.scapulae else ():
            # A plate along the outside of the ribs, with its spine pointing outwards.
            blade = common(
                np.abs(f_cage - 17 + 0.03 * (c.y - 30)) - 2.4,
                ellipse(c, side * 0.83 * self.cage[0], 52, 40, 32),
            )
            ridge = rod(c, (side * 0.93 * self.cage[0], 50), (side * (0.93 * self.cage[0] + 13), 60), 2.6)
            f = union(blade, common(ridge, f_body + self.fat), blend=4)
            c.paint(f, 800.0)
            c.paint(f + 1.7, 330.0)

    def _mediastinum(self, c: Canvas) -> Array:
        """What lies between the lungs, as one shape."""
        parts = [
            ellipse(c, 0, -70, 12, 40),
            ellipse(c, 0, 0, 24, 48),
            ellipse(c, 0, 56, 23, 28),
            ellipse(c, 25, 26, 15, 16),
            _back(c) - 2,
        ]
        if self.upper:
            parts += [ellipse(c, -4, -36, 42, 32), ellipse(c, 0, -6, 44, 15)]
        else:
            a, b, angle = self.heart
            parts += [ellipse(c, 16, -36, a + 5, b + 5, angle)]
        return union(*parts, blend=16)

    def _organs(self, c: Canvas) -> None:
        """Heart or great vessels, aorta, oesophagus, airways."""
        blood = self.blood + 4 * c.noise(4, 27)
        if self.upper:
            for x, y, width, height in (
                (-20, -40, 16, 16),
                (16, -44, 16, 14),
                (-39, -28, 9, 8),
                (32, -26, 11, 9),
            ):
                c.paint(ellipse(c, x, y, width, height), blood)
            c.paint(rod(c, (16, -40), (32, -24), 9), blood)
            for side in (-1, 1):
                f = rod(c, (side * 9, -6), (side * 23, -1), 5.6)
                c.paint(f - 1.6, 25.0)
                c.paint(f, -990.0)
        else:
            a, b, angle = self.heart
            c.paint(ellipse(c, 16, -36, a, b, angle), 48 + 4 * c.noise(4, 27))
            c.paint(ellipse(c, 30, -26, a * 0.42, b * 0.5, angle), blood)
            c.paint(ellipse(c, -4, -50, a * 0.5, b * 0.48, angle), blood * 0.9 + 4)
            c.paint(ellipse(c, -14, -15, a * 0.38, b * 0.36), blood)
        c.paint(ellipse(c, 25, 26, 12.5, 12.5), blood)
        f = ellipse(c, 4, 16, 8, 5)
        c.paint(f, 38.0)
        c.paint(ellipse(c, 4, 16, 2.5, 1.5), -500.0)

    def _lungs(self, c: Canvas, f: Array) -> None:
        """Parenchyma, denser towards the back, vessels that branch from the hila, a fissure."""
        lung = self.lung + 0.35 * c.y + 16 * c.noise(7, 28) + 12 * c.noise(2.4, 29)
        fissure = np.abs(c.y - 20 - 0.35 * np.abs(c.x) - 5 * c.noise(40, 30))
        lung += 70 * np.clip(1 - fissure / 1.4, 0, 1)
        c.paint(f, lung)
        within = c.coverage(f + 1.5)
        self.vessels.paint(c, 45.0, within)
        self.veins.paint(c, 40.0, within)


def _skin(c: Canvas, f_body: Array) -> None:
    c.paint(f_body, 10.0)
    c.paint(f_body + 2.0, -103 + 7 * c.noise(6, 20))


def _back(c: Canvas) -> Array:
    """The muscles on either side of the spinous process, behind the lungs."""
    return union(ellipse(c, -21, 92, 36, 24, -0.1), ellipse(c, 21, 92, 36, 24, 0.1), blend=10)


def _tree(rng: np.random.Generator, radius: float, roots_per_lung: int, generations: int) -> Tree:
    """Roots at the hila, growing outwards."""
    roots, directions = [], []
    for side in (-1, 1):
        for angle in np.linspace(-1.25, 1.25, roots_per_lung) + rng.uniform(-0.2, 0.2, roots_per_lung):
            z = rng.uniform(-22, 22)
            roots.append((side * 34.0, -8.0 + 12 * float(angle), float(z)))
            directions.append((side * float(np.cos(angle)), float(np.sin(angle)), float(rng.normal(0, 0.35))))
    return Tree.grow(rng, roots, directions, radius=radius, length=20, generations=generations)
