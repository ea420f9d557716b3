"""What sampling leaves on disk: a sequence and two maps for Slicer, a picture and a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..base import PathLike, decimal, json_text, require_replaceable, writing_folder
from ..files import require_no_input, write_sequence, write_volume
from ..volumes import CTVolume
from .montage import draw_montage

if TYPE_CHECKING:
    from ..sampling import Samples

_MAPS = ("mean", "std")
_FILES = frozenset({"samples.seq.nrrd", "montage.png", "table.json", *(f"{name}.nrrd" for name in _MAPS)})
_MOST_ROWS = 24  # of a picture


def require_sample_folder(folder: Path, *, inputs: Sequence[PathLike] = (), overwrite: bool = True) -> None:
    """Raise what `write_samples` would raise, before the work that it is to keep.

    Args:
        folder: of the result.
        inputs: files and folders that it is made of.
        overwrite: whether an older result may be replaced.

    Raises:
        VolumeError: a folder that holds other files, an input, or a result that may not be replaced; or that cannot be
            made.
    """
    require_replaceable(folder, _FILES, overwrite=overwrite)
    for name in sorted(_FILES):
        require_no_input(folder / name, inputs)


def write_samples(
    slab: Sequence[Samples],
    geometry: CTVolume,
    folder: Path,
    *,
    denoiser: str,
    overwrite: bool = True,
    **origin: Any,
) -> None:
    """Write `samples.seq.nrrd`, `mean.nrrd`, `std.nrrd`, `montage.png` and `table.json`: all of them or none.

    Args:
        slab: what was sampled, slice by slice.
        geometry: what was asked about as a volume of as many slices, at its place in the patient.
        folder: made if need be; an older result in it is replaced as a whole.
        denoiser: its name.
        overwrite: whether it may be.
        origin: what else the table is to say of where the samples come from; `slice`: index of the first one.

    Raises:
        VolumeError: see `require_sample_folder`.
        OSError: the disk is full.
    """
    require_sample_folder(folder, overwrite=overwrite)
    count, first = range(len(slab[0].images)), slab[0]
    volumes = [[samples.images[i] for samples in slab] for i in count]  # views, no copies
    title = f"{denoiser}, layer {first.layer}, {first.domain}-dose domain"
    facts = json_text(table(slab, denoiser=denoiser, **origin), indent=1)
    with writing_folder(folder) as part:
        write_sequence(volumes, geometry, part / "samples.seq.nrrd")
        for name in _MAPS:
            maps = np.stack([getattr(samples, name) for samples in slab])
            write_volume(geometry.with_hu(maps), part / f"{name}.nrrd")
        draw_montage(_rows(slab, origin.get("slice", 0)), part / "montage.png", title=title)
        (part / "table.json").write_text(facts, "utf-8")
        require_sample_folder(folder, overwrite=overwrite)  # somebody else may have written one meanwhile


def _rows(slab: Sequence[Samples], first: int) -> list[tuple[str, Samples]]:
    """Labelled rows of the picture: every slice, or of many some at equal distances."""
    if len(slab) == 1:
        return [(f"layer {slab[0].layer}", slab[0])]
    shown = np.linspace(0, len(slab) - 1, min(len(slab), _MOST_ROWS)).round().astype(int)
    return [(f"slice {first + k}", slab[k]) for k in shown]


def summary(slab: Sequence[Samples]) -> str:
    """The numbers of a draw in a sentence or two; of several slices their means."""
    parts = [_invariance(samples) for samples in slab]

    def mean(name: str, places: int = 1) -> str:
        return decimal(
            float(np.mean([np.nan if each.get(name) is None else each[name] for each in parts])), places
        )

    first = slab[0]
    if first.domain == "full":
        return f"full-dose images that may be behind this one differ by {mean('spread')} HU"
    return (
        f"at a tolerance of {first.tolerance:g} rescans ({mean('tolerance_hu')} HU in the denoised image) "
        f"the samples differ by {mean('spread')} HU; {mean('arrives')} HU of that arrives. Of noise as strong, "
        f"{mean('noise_arrives')} HU would (V = {mean('visibility', 2)}). "
        f"{'The flow’s proposals' if first.from_flow else 'Drawn without a flow, they'} lay "
        f"{mean('proposed_misfit', 2)} tolerances away and were moved by {mean('moved_mean')} HU; "
        f"the noise is known from the {first.noise_from}"
    )


def table(slab: Sequence[Samples], *, denoiser: str, **origin: Any) -> dict[str, Any]:
    """The numbers of a draw, as plain values; of several slices a list, `slices`, with those of every one."""
    first = slab[0]
    facts = {
        "program": f"CTInvariance {__version__}",
        "denoiser": denoiser,
        "layer": first.layer,
        "domain": first.domain,
        "n": len(first.images),
        "seed": first.seed,
        "flow": first.from_flow,
        **origin,
    }
    if len(slab) == 1:
        return {**facts, **_figures(first)}
    index = origin.get("slice", 0)
    slices = [{"slice": index + k, "seed": own.seed, **_figures(own)} for k, own in enumerate(slab)]
    return {**facts, "slices": slices}


def _figures(samples: Samples) -> dict[str, Any]:
    r = samples.consistency
    return {
        "invariance": _invariance(samples),
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


def _invariance(samples: Samples) -> dict[str, Any]:
    """The numbers of docs/method.md, "Numbers that go with every draw"; HU unless it says something else."""
    evidence = samples.evidence
    figures: dict[str, Any] = {
        "tolerance": samples.tolerance,
        "tolerance_hu": samples.tolerance_hu,
        "epsilon": samples.epsilon,
        "noise_hu": samples.noise_hu,
        "noise_from": samples.noise_from,
        "spread": samples.spread,
        "proposed_spread": samples.proposed_spread,
        "closed_form": samples.closed_form,
        "moved_mean": float(samples.moved.mean()),
        "moved_max": float(samples.moved.max()),
    }
    if evidence is None:
        return figures
    low = samples.domain == "low"
    change = evidence.output_change
    return figures | {
        "proposed_misfit": float(samples.proposed_misfit.mean()) if low else None,
        "misfit_mean": float(evidence.misfit.mean()) if low else None,
        "misfit_max": float(evidence.misfit.max()) if low else None,
        "change_rms": float(np.sqrt(np.square(change).mean())),
        "change_95": float(evidence.output_change_95.mean()),
        "change_max": float(evidence.output_change_most.max()),
        "arrives": evidence.arrives,
        "noise_arrives": evidence.noise_arrives * samples.spread,
        "passes": _finite(evidence.passes),
        "noise_passes": _finite(evidence.noise_passes),
        "displaced_passes": _finite(evidence.displaced_passes),
        "visibility": _finite(evidence.visibility),
    }


def _finite(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if np.isfinite(value) else None


def _rmse(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(a.astype(np.float64) - b))))
