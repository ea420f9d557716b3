"""What is handed out: samples of one image, with the numbers that prove them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from ..base import VolumeError
from ..tensors import denormalize
from ..trust import Evidence


@dataclass(frozen=True)
class Samples:
    """N images that the layer cannot tell from the patch, up to the tolerance; all arrays numpy float32.

    Attributes:
        patch: (H, W), HU, the image that was asked about.
        denoised: (H, W), HU, f of it.
        target: (H, W), HU, what the samples look like: the patch; in the full-dose domain the full-dose
            patch where there is one, else the denoised.
        embedded: (H, W), HU, what the embedding makes of the target: D(E(·)).
        images: (n, H, W), HU, the samples x̄; as the flow proposes them until they are `corrected`.
        invariances: (n, d), or (n, c, h, w) of a grid: the v that were drawn.
        latents: z̄ = E(x̄) of a complete embedding, else what was decoded; (n, d) or (n, c, h, w).
        tolerance: τ, rescans.
        tolerance_hu: what τ rescans change in the denoised image, rms HU.
        epsilon: τ in the units of z per pixel.
        noise_hu: standard deviation of the low-dose noise that the rescans were made from.
        noise_from: where that noise is known from: "partner", "simulation" or "image".
        closed_form: the spread that stationary noise would have within the tolerance, HU: S ε² / (G² S + ε²) with this
            patch's S and G. Samples that differ by much less hide what there is.
        moved: (n,), rms HU that the correction moved each sample; 0 in the full-dose domain.
        proposed_spread: rms HU of the samples' differences before the correction.
        proposed_misfit: (n,), `misfit` before the correction; NaN in the full-dose domain.
        evidence: what the layer lets through, see `trust.Evidence`; None until it is gathered.
        consistency: (n,), R, for comparison with older runs; NaN until the evidence is there.
        floor: of R, a distance in the units of z.
        ceiling: likewise.
        corrected: whether the samples were brought within the tolerance.
        from_flow: whether a trained flow proposed them; else they were drawn from a Gaussian.
        layer: where the denoiser was cut.
        domain: "low" or "full".
        seed: of the draw.
    """

    patch: np.ndarray
    denoised: np.ndarray
    target: np.ndarray
    embedded: np.ndarray
    images: np.ndarray
    invariances: np.ndarray
    latents: np.ndarray
    tolerance: float
    tolerance_hu: float
    epsilon: float
    noise_hu: float
    noise_from: str
    closed_form: float
    moved: np.ndarray
    proposed_spread: float
    proposed_misfit: np.ndarray
    evidence: Evidence | None
    consistency: np.ndarray
    floor: float
    ceiling: float
    corrected: bool
    from_flow: bool
    layer: str
    domain: str
    seed: int

    @cached_property
    def mean(self) -> np.ndarray:
        """(H, W), HU."""
        return np.asarray(self.images.mean(axis=0))

    @cached_property
    def std(self) -> np.ndarray:
        """(H, W), HU: how far the samples differ, pixel by pixel."""
        return np.asarray(self.images.std(axis=0, ddof=1 if len(self.images) > 1 else 0))

    @cached_property
    def spread(self) -> float:
        """Root of the mean over pixels of the variance, HU."""
        return float(np.sqrt(np.square(self.std, dtype=np.float64).mean()))

    @property
    def output_change(self) -> np.ndarray:
        """(n,), rms HU of f(x̄) − f(x)."""
        return self._known.output_change

    @property
    def misfit(self) -> np.ndarray:
        """(n,), ‖Φ(x̄) − z‖ / √P in units of ε."""
        return self._known.misfit

    @property
    def passes(self) -> float:
        """What the layer lets through of the samples' differences."""
        return self._known.passes

    @property
    def noise_passes(self) -> float:
        """What it lets through of noise."""
        return self._known.noise_passes

    @property
    def displaced_passes(self) -> float:
        """What it lets through of the samples' differences somewhere else."""
        return self._known.displaced_passes

    @property
    def visibility(self) -> float:
        """V = passes / passes of noise."""
        return self._known.visibility

    @property
    def _known(self) -> Evidence:
        if self.evidence is None:
            raise VolumeError("these samples are not measured yet", hint="Wait for the end of the sampling.")
        return self.evidence


def to_hu(images: Tensor) -> np.ndarray:
    """Normalised tensor -> float32 HU, of the same shape."""
    return denormalize(images).float().cpu().numpy()
