"""What the commands that make a volume of a volume do: `simulate` and `denoise`."""

from __future__ import annotations

from argparse import Namespace

from ..files import read_volume, require_writable, write_volume, writing_volume
from ..volumes import CTVolume, require_axial
from .console import complain, progress_shown


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
