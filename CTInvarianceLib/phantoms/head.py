"""An axial slice through the head, at the lateral ventricles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Array, Canvas, common, ellipse, oval, rod

GREY, WHITE, FLUID = 37.0, 28.0, 7.0


@dataclass(frozen=True)
class Head:
    """The figures of one patient, mm and HU."""

    a: float
    b: float
    bone: float  # thickness of the skull
    cortex: float
    sulci: float  # width of the furrows: wider with age
    ventricles: float
    sinus: bool
    bleed: tuple[float, float, float, float] | None  # x, y, radius, HU
    subdural: float  # thickness in mm of blood under the skull, 0 for none

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Head:
        """Random figures."""
        a, age = rng.uniform(68, 76), rng.uniform(0, 1)
        bleed = None
        if rng.random() < 0.3:
            side = rng.choice([-1, 1])
            bleed = (
                float(side * rng.uniform(18, 38)),
                float(rng.uniform(-25, 30)),
                float(rng.uniform(4, 12)),
                float(rng.uniform(60, 75)),
            )
        return cls(
            a=a,
            b=a * rng.uniform(1.20, 1.30),
            bone=rng.uniform(4.5, 6.5),
            cortex=rng.uniform(1100, 1500),
            sulci=0.20 + 0.16 * age,
            ventricles=0.8 + 0.45 * age,
            sinus=bool(rng.random() < 0.4),
            bleed=bleed,
            subdural=float(rng.choice([0, 0, 0, 0, 1]) * rng.uniform(3, 6)),
        )

    def paint(self, c: Canvas) -> None:
        """Everything, from the skin inwards."""
        f_head = oval(c, 0, 0, self.a, self.b, power=2.15)
        self._skull(c, f_head)
        f_dura = f_head + 6.5 + self.bone + 0.6 * c.noise(25, 60)
        c.paint(f_dura, 9.0)
        self._brain(c, f_dura)
        self._ventricles(c)
        falx = np.abs(c.x - 0.6 * c.noise(40, 61)) - 0.7
        c.paint(common(falx, f_dura), 52.0, (np.abs(c.y - 4) > 36).astype(np.float32))
        self._blood(c, f_dura)
        if self.sinus:
            self._sinus(c)

    def _skull(self, c: Canvas, f_head: Array) -> None:
        """Skin, scalp, and three layers of bone; thicker in front and at the back."""
        c.paint(f_head, 40.0)
        c.paint(f_head + 2.0, -85 + 20 * c.noise(6, 62))
        c.paint(f_head + 4.5, 45.0)
        thick = self.bone * (
            1 + 0.12 * c.noise(28, 63) + 0.25 * np.clip(np.abs(c.y) / self.b - 0.7, 0, 1) / 0.3
        )
        f_bone = np.maximum(f_head + 6.0, -(f_head + 6.0 + thick))
        c.paint(f_bone, self.cortex)
        c.paint(f_bone + 0.34 * thick, 520 + 90 * c.noise(3, 64))

    def _brain(self, c: Canvas, f_dura: Array) -> None:
        """White matter under a folded band of grey matter, furrows filled with fluid."""
        depth = -f_dura - 2.2
        x = np.abs(c.x) - 1.5  # the cleft between the hemispheres is a surface too
        surface = np.minimum(depth, x + 0.35 * np.clip(34 - np.abs(c.y - 4), 0, 40) ** 1.2)
        fold = c.noise(8.0, 65) + 0.30 * c.noise(4.5, 66)
        inside = np.clip(surface / 20, 0, 1)
        furrow = np.clip(1.2 - np.abs(fold) / (self.sulci * (1 - inside) + 1e-3), 0, 1) * (inside < 1)
        # The band follows the furrows: grey wherever a furrow or the surface is within about 3.5 mm.
        band = np.minimum(surface, 0.8 + 4.0 * np.abs(fold) + 14 * np.clip(inside - 0.55, 0, 1))
        grey = np.clip(0.5 - (band - 3.6) / 1.5, 0, 1)
        c.paint(f_dura + 2.2, WHITE + (GREY - WHITE) * grey + 0.8 * c.noise(3, 67) + 1.2 * c.noise(14, 68))
        c.paint(f_dura + 2.0, FLUID, furrow * 0.85)
        c.paint(common(np.abs(c.x) - 1.2, f_dura), FLUID, (np.abs(c.y - 4) > 30).astype(np.float32))
        for side in (-1, 1):  # basal ganglia and thalamus
            c.paint(ellipse(c, side * 25, -8, 6.5, 16, side * -0.35), GREY + 1)
            c.paint(ellipse(c, side * 12, -20, 5, 11, side * -0.4), GREY)
            c.paint(ellipse(c, side * 11, 12, 9.5, 13, side * 0.3), GREY)
            insula = np.abs(ellipse(c, side * 27, -2, 13, 21)) - (0.4 + 3 * self.sulci)
            lateral = c.coverage(34 - side * c.x + 2 * c.noise(9, 71))
            c.paint(insula - 3.2, GREY, lateral)
            c.paint(insula, FLUID, lateral)

    def _ventricles(self, c: Canvas) -> None:
        """Front horns, third ventricle, back horns with calcified plexus."""
        w = self.ventricles
        for side in (-1, 1):
            horn = ellipse(c, side * (5 + 4.5 * w), -24, 4.2 * w, 12 * w**0.5, side * 0.42)
            c.paint(common(horn, -ellipse(c, side * 13, -19, 4.5, 9, side * -0.4), blend=2), FLUID)
            c.paint(ellipse(c, side * 21, 34, 5.0 * w, 12.0, side * -0.5), FLUID)
            c.paint(ellipse(c, side * 20, 34, 2.2, 3.2), 90.0)
        c.paint(rod(c, (0, -2), (0, 14), 1.5 * w), FLUID)
        c.paint(ellipse(c, 0, 22, 2, 1.8), 130.0)  # pineal gland

    def _blood(self, c: Canvas, f_dura: Array) -> None:
        if self.bleed:
            x, y, radius, hu = self.bleed
            f = ellipse(c, x, y, radius, radius * 1.25) + 1.2 * c.noise(8, 69)
            c.paint(f - 4, 21.0)
            c.paint(f, hu + 2 * c.noise(4, 70))
        if self.subdural:
            side = np.clip((c.x - 8) / 20, 0, 1) * np.clip(1.2 - np.abs(c.y) / (0.8 * self.b), 0, 1)
            c.paint(
                np.maximum(f_dura, -(f_dura + self.subdural * side)), 62.0, (side > 0.02).astype(np.float32)
            )

    def _sinus(self, c: Canvas) -> None:
        """Frontal sinus: two air pockets in the bone behind the forehead."""
        for side, size in ((-1, 1.0), (1, 0.8)):
            y = -self.b + 11.5
            f = ellipse(c, side * 9, y, 11 * size, 5.0 * size)
            c.paint(f - 2.5, self.cortex)
            c.paint(f, -990.0)
