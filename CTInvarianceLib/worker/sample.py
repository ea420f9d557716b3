"""The request to sample, as a question with the arrays that it is about."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..base import ConfigError, VolumeError
from ..config import Question
from ..volumes import CTVolume, Place, Region, open_foreign_hu, writing_npy
from .context import Result, Work

if TYPE_CHECKING:
    import torch

    from ..sampling import Samples


@dataclass(frozen=True, kw_only=True)
class Sample(Question):
    """Sample a layer's invariances in every slice of a slab.

    Attributes:
        volume: .npy (S, H, W), HU, of the slices alone that are asked about.
        region: top, left, height, width; empty: whole slices.
        full_dose: likewise .npy, the full-dose partner; "": none.
        affine: of the volume; with it, and without a partner, the noise is simulated; else it is read from the image.
        out: folder for the arrays; that it lies in is there.
    """

    models: str
    volume: str
    out: str
    region: tuple[int, ...] = ()
    full_dose: str = ""
    affine: tuple[tuple[float, ...], ...] = ()

    def run(self, work: Work) -> Result:
        """Write the arrays as soon as they are drawn; then those that are within the tolerance, and the evidence."""
        from ..report import table
        from ..sampling import drawing_share

        models, start = work.sets.get(self.models), time.monotonic()
        embedding = models.embedding(self.domain).module
        low, full, region = self._seen(alone=embedding.fixed_size)
        noise = self._noise(alone=embedding.fixed_size, device=models.device) if full is None else None
        progress = work.progress("sampling")

        def show(slab: Sequence[Samples]) -> None:
            self._write(slab, Path(self.out))
            progress(drawing_share(flow=self.flow), ready={"out": self.out})

        slab = models.sample_slab(
            low, self, full_dose_hu=full, noise_hu=noise, region=region, progress=progress, on_drawn=show
        )
        out = Path(self.out)
        if slab[0].corrected:
            out = out / "corrected"
            self._write(slab, out)
        return {
            "out": str(out),
            "seconds": round(time.monotonic() - start, 2),
            "device": str(models.device),
            "table": table(slab, denoiser=self.denoiser, models=self.models, embedding=embedding.kind),
        }

    def _seen(self, *, alone: bool) -> tuple[np.ndarray, np.ndarray | None, Region | None]:
        """Low dose and full dose as `Place.seen` has them, and the region of them."""
        volumes = [
            CTVolume(open_foreign_hu(path), np.eye(4), path) for path in (self.volume, self.full_dose) if path
        ]
        if len({volume.shape for volume in volumes}) > 1:
            raise VolumeError("low dose and full dose differ in size", where=[v.shape for v in volumes])
        if len(self.region) not in (0, 4):
            raise ConfigError("a region is top, left, height, width", where=f"region {list(self.region)}")
        count, rows, columns = volumes[0].shape
        region = Region(*self.region) if self.region else Region(0, 0, rows, columns)
        region.check(rows, columns)
        place = Place(0, count, region)
        (low, inside), *full = [place.seen(volume, alone=alone) for volume in volumes]
        return low, full[0][0] if full else None, inside

    def _noise(self, *, alone: bool, device: torch.device) -> np.ndarray | None:
        """Low-dose noise of the slices, simulated; None where it cannot be."""
        from ..low_dose import scan_noise

        if not self.affine:
            return None
        volume = CTVolume(open_foreign_hu(self.volume), np.asarray(self.affine, np.float64), self.volume)
        noise = scan_noise(volume, device=device)
        if noise is None or not (alone and self.region):
            return noise
        top, left, height, width = self.region
        return noise[:, top : top + height, left : left + width]

    def _write(self, slab: Sequence[Samples], out: Path) -> None:
        """samples.npy (n, S, h, w), and patch, denoised, target, embedded, mean and std (S, h, w)."""
        rows, columns = slab[0].patch.shape
        out.mkdir(mode=0o700, exist_ok=True)  # not the folder that it lies in: a scratch folder is private
        with writing_npy(out / "samples.npy", self.n, len(slab), rows, columns) as append:
            for i in range(self.n):
                for samples in slab:
                    append(samples.images[i])
        for name in ("patch", "denoised", "target", "embedded", "mean", "std"):
            with writing_npy(out / f"{name}.npy", len(slab), rows, columns) as append:
                for samples in slab:
                    append(getattr(samples, name))
