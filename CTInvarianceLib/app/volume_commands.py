"""What the commands on a volume do: `simulate`, `denoise` and `sample`."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path

import numpy as np

from ..base import VolumeError
from ..config import Question
from ..files import read_volume, require_writable, write_volume, writing_volume
from ..volumes import CTVolume, Place, require_axial
from .console import complain, progress_shown, say


def simulate(options: Namespace) -> None:
    """Low dose from full dose."""
    from ..low_dose import simulate_low_dose

    _require_writable(options)
    volume = _scanned(options.volume)
    _require_writable(options, volume)
    with progress_shown("simulating") as progress:
        low = simulate_low_dose(volume, options.dose, seed=options.seed, progress=progress)
    write_volume(low, options.out, overwrite=options.overwrite)
    if low.spectrum.sentence:
        complain(low.spectrum.sentence)


def denoise(options: Namespace) -> None:
    """Denoise a volume."""
    from ..models import Models

    _require_writable(options)
    models, volume = Models.load(options.models), _scanned(options.volume)
    _require_writable(options, volume)
    models.denoiser(options.denoiser)
    with (
        progress_shown("denoising") as progress,
        writing_volume(options.out, volume, overwrite=options.overwrite) as append,
    ):
        for slices in models.denoised(volume.hu, options.denoiser, progress=progress):
            append(slices)


def _require_writable(options: Namespace, volume: CTVolume | None = None) -> None:
    require_writable(options.out, volume, inputs=[options.volume], overwrite=options.overwrite)


def _scanned(path: str) -> CTVolume:
    """A volume whose slices lie as a scanner's do, and as the networks' training data did."""
    volume = read_volume(path)
    require_axial(volume)
    return volume


def sample(options: Namespace) -> None:
    """Sample a layer's invariances at a patch, or in whole slices."""
    from ..low_dose import scan_noise
    from ..models import Models
    from ..report import require_sample_folder, summary, write_samples

    out, overwrite = Path(options.out), options.overwrite
    inputs = [path for path in (options.volume, options.full_dose) if path]
    require_sample_folder(out, inputs=inputs, overwrite=overwrite)
    models, volume = Models.load(options.models), _scanned(options.volume)
    question = Question(
        options.denoiser,
        options.layer,
        options.n,
        options.domain,
        options.seed,
        options.tolerance,
        options.tile,
        not options.without_flow,
    )
    embedding = models.embedding(question.domain).module
    sides = _sides(options, embedding.patch_size)
    place = Place.choose(volume, sides, first=options.slice, count=options.slices, centre=options.center)
    seen, region = place.seen(volume, alone=embedding.fixed_size)
    partner = _partner(options.full_dose, volume)
    full = None if partner is None else place.seen(partner, alone=embedding.fixed_size)[0]
    start = time.perf_counter()
    with progress_shown("sampling") as progress:
        noise = None
        if full is None:
            slices = volume.crop(place.slices, slice(None), slice(None))
            noise = _cut(scan_noise(slices), place, alone=embedding.fixed_size)
        slab = models.sample_slab(
            seen, question, region=region, full_dose_hu=full, noise_hu=noise, progress=progress
        )
    seconds = time.perf_counter() - start
    origin = {
        "volume": str(options.volume),
        **place.to_dict(),
        **({"full_dose": str(options.full_dose)} if options.full_dose else {}),
        "models": str(options.models),
        "embedding": embedding.kind,
    }
    write_samples(slab, place.cut(volume), out, denoiser=options.denoiser, overwrite=overwrite, **origin)
    drawn = f"{options.n} samples" + (f" of each of {place.count} slices" if place.count > 1 else "")
    say(f"{drawn} in {seconds:.1f} s, written to {options.out}")
    say(summary(slab))


def _partner(path: str | None, volume: CTVolume) -> CTVolume | None:
    """The full-dose partner, which must lie on the volume's grid."""
    if not path:
        return None
    partner = read_volume(path)
    if partner.shape != volume.shape or not np.allclose(partner.affine, volume.affine, atol=1e-3):
        raise VolumeError(
            "the full-dose volume lies on another grid than the low-dose one",
            where=path,
            hint="Give the full-dose reconstruction of the same slices.",
        )
    return partner


def _cut(slices: np.ndarray | None, place: Place, *, alone: bool) -> np.ndarray | None:
    """What `Place.seen` cuts out of the place's slices, where there are any."""
    return slices if slices is None or not alone else slices[:, place.rows, place.columns]


def _sides(options: Namespace, trained: int) -> tuple[int, int] | None:
    """Rows and columns of what is asked about; None: whole slices."""
    if options.whole:
        if options.size or options.center:
            raise VolumeError(
                "--whole is the whole slice, --size and --center choose a part of it",
                hint="Leave one of them away.",
            )
        return None
    sides = options.size or [trained]
    if len(sides) > 2:
        raise VolumeError(f"--size has {len(sides)} numbers", hint="Give PIXELS, or ROWS COLUMNS.")
    return sides[0], sides[-1]
