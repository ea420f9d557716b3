"""What sampling leaves on disk: a sequence and two maps for Slicer, a picture and a table for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import __version__
from .atomic import writing
from .montage import draw_montage
from .volume import CTVolume
from .volume_files import write_sequence, write_volume

if TYPE_CHECKING:
    from .sampling import Samples


def write_samples(
    samples: Samples, geometry: CTVolume, folder: Path, *, denoiser: str, **origin: Any
) -> None:
    """Write `samples.seq.nrrd`, `mean.nrrd`, `std.nrrd`, `montage.png` and `table.json`.

    Args:
        samples: what was sampled.
        geometry: the patch as a volume of one slice, at its place in the patient.
        folder: made if need be.
        denoiser: its name.
        origin: what else the table is to say of where the samples come from.

    Raises:
        VolumeError: the place cannot be written to.
    """
    write_sequence(samples.images, geometry, folder / "samples.seq.nrrd")
    write_volume(geometry.with_hu(samples.mean[None]), folder / "mean.nrrd")
    write_volume(geometry.with_hu(samples.std[None]), folder / "std.nrrd")
    title = f"{denoiser}, layer {samples.layer}, {samples.domain}-dose domain"
    draw_montage([(f"layer {samples.layer}", samples)], folder / "montage.png", title=title)
    with writing(folder / "table.json") as part:
        part.write_text(json.dumps(table(samples, denoiser=denoiser, **origin), indent=1), "utf-8")


def table(samples: Samples, *, denoiser: str, **origin: Any) -> dict[str, Any]:
    """The numbers of a draw, as plain values."""
    r = samples.consistency
    return {
        "program": f"CTInvariance {__version__}",
        "denoiser": denoiser,
        "layer": samples.layer,
        "domain": samples.domain,
        "n": len(samples.images),
        "seed": samples.seed,
        **origin,
        "consistency": {
            "mean": float(r.mean()),
            "std": float(r.std()),
            "min": float(r.min()),
            "max": float(r.max()),
            "floor": samples.floor,
            "ceiling": samples.ceiling,
            "of_every_sample": [round(float(value), 5) for value in r],
        },
        "hu": {
            "std_mean": float(samples.std.mean()),
            "std_max": float(samples.std.max()),
            "embedding_rmse": _rmse(samples.embedded, samples.target),
            "mean_to_patch_rmse": _rmse(samples.mean, samples.patch),
        },
    }


def _rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(a.astype(np.float64) - b))))
