"""What a layer is asked: made once, where people say it, and handed on as it is to whatever answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .checking import Plain
from .settings import Domain

DEFAULT_TOLERANCE = 0.5
"""Rescans: half of what two scans of one patient differ by."""


@dataclass(frozen=True)
class Question(Plain):
    """Which images can a layer of a denoiser not tell apart, up to a tolerance?

    Attributes:
        denoiser: of the model set.
        layer: of the denoiser.
        n: number of samples of every slice.
        domain: "low" or "full": what the samples look like.
        seed: slice number k has seed + k; the same seed on the same device gives the same samples.
        tolerance: τ, in rescans (docs/method.md): at 1 the layer tells the images apart no better than two full-dose
            scans of the same patient.
        tile: sides of tiles, pixels, where memory is short; None: a region at once. The result is the same.
        flow: whether the trained flow proposes the samples; else they are drawn without one, from a Gaussian: ten times
            as slow, for low dose only, for layers without a flow or to compare.
    """

    denoiser: str
    layer: str
    n: int = 250
    domain: Domain = "low"
    seed: int = 0
    tolerance: float = DEFAULT_TOLERANCE
    tile: int | None = None
    flow: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values of what says which samples they are; tiles do not."""
        values = asdict(self)
        return {
            name: values[name] for name in ("denoiser", "layer", "domain", "n", "seed", "tolerance", "flow")
        }
