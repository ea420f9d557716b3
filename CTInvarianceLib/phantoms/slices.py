"""One noise-free slice of a phantom."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..base import ConfigError
from .abdomen import Abdomen
from .canvas import Canvas, Texture
from .chest import Chest
from .head import Head

_ANATOMY: dict[str, type[Chest | Abdomen | Head]] = {"chest": Chest, "abdomen": Abdomen, "head": Head}
_BEND_MM = {"chest": 2.5, "abdomen": 3.0, "head": 1.2}
KINDS = tuple(_ANATOMY)


def phantom(
    kind: str,
    *,
    seed: int,
    size: int = 256,
    pixel_mm: float = 1.5,
    center_mm: tuple[float, float] = (0.0, 0.0),
    z_mm: float = 0.0,
) -> NDArray[np.float32]:
    """A slice of one patient, the truth without noise.

    The anatomy depends on kind and seed only and is a smooth function of position, so other pixels, another centre
    and another z show the same patient. Edges are about 1.2 mm wide.

    Args:
        kind: "chest", "abdomen" or "head".
        seed: of the patient.
        size: rows and columns.
        pixel_mm: side of a pixel in mm.
        center_mm: (x, y) of the middle of the slice; x to the patient's left, y to the back. The vertebral body of
            chest and abdomen lies about (0, 58).
        z_mm: position along the patient, towards the head; within about 20 mm of 0.

    Returns:
        HU, shape (size, size).

    Raises:
        ConfigError: an unknown kind, a size or pixel that is not positive, or a negative seed.
    """
    if kind not in _ANATOMY:
        raise ConfigError("There is no such phantom", where=kind, hint=f"Choose one of {', '.join(KINDS)}.")
    if size < 1 or not pixel_mm > 0:
        raise ConfigError("Size and pixel of a phantom are positive", where=f"size {size}, {pixel_mm} mm")
    if seed < 0:
        raise ConfigError("The seed is negative", where=seed)
    rng = np.random.default_rng((KINDS.index(kind), seed))
    patient = _ANATOMY[kind].draw(rng)
    canvas = Canvas.blank(Texture(rng), size, pixel_mm, center_mm, z_mm, _BEND_MM[kind])
    patient.paint(canvas)
    return canvas.hu
