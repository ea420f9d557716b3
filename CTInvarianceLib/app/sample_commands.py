"""What `sample` does, for one volume and for all patients of a source."""

from __future__ import annotations

import json
import re
import time
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base import ConfigError, Progress, VolumeError, part
from ..config import Question, is_name
from ..files import read_volume
from ..volumes import CTVolume, Place, require_axial
from .console import complain, progress_shown, say

if TYPE_CHECKING:
    from ..models import Models
    from ..sampling import Samples
    from ..sources import SeriesPair

BAD_INPUT = 2  # exit code


def sample(options: Namespace) -> int:
    """Sample a layer's invariances at a patch, or in whole slices; of a volume, or of every patient."""
    if bool(options.volume) == bool(options.data):
        raise ConfigError(
            "say what to sample: one of VOLUME and --data SOURCE", hint="See `ctinvariance sample --help`."
        )
    if options.data and options.full_dose:
        raise ConfigError(
            "--full-dose is the partner of one volume", hint="--data finds every patient's own."
        )
    return _sample_source(options) if options.data else _sample_volume(options)


def _sample_volume(options: Namespace) -> int:
    from ..models import Models
    from ..report import require_sample_folder, summary

    out, overwrite = Path(options.out), options.overwrite
    inputs = [path for path in (options.volume, options.full_dose) if path]
    require_sample_folder(out, inputs=inputs, overwrite=overwrite)
    models = Models.load(options.models)
    volume = read_volume(options.volume)
    require_axial(volume)
    asked = _Asked(models, _question(options), overwrite)
    place = asked.place(volume, options)
    partner = _on_grid_of(volume, read_volume(options.full_dose)) if options.full_dose else None
    origin = {
        "volume": str(options.volume),
        **place.to_dict(),
        **({"full_dose": str(options.full_dose)} if options.full_dose else {}),
        "models": str(options.models),
    }
    start = time.perf_counter()
    with progress_shown("sampling") as progress:
        slab = asked.sample(volume, partner, place, progress)
    seconds = time.perf_counter() - start
    asked.write(slab, volume, place, out, origin)
    drawn = f"{options.n} samples" + (f" of each of {place.count} slices" if place.count > 1 else "")
    say(f"{drawn} in {seconds:.1f} s, written to {options.out}")
    say(summary(slab))
    return 0


def _question(options: Namespace) -> Question:
    return Question(
        options.denoiser,
        options.layer,
        options.n,
        options.domain,
        options.seed,
        options.tolerance,
        options.tile,
        not options.without_flow,
    )


@dataclass(frozen=True)
class _Asked:
    """What is asked of a model set, wherever."""

    models: Models
    question: Question
    overwrite: bool

    def place(self, volume: CTVolume, options: Namespace) -> Place:
        """Where in a volume."""
        sides = _sides(options, self.models.embedding(self.question.domain).module.patch_size)
        return Place.choose(volume, sides, first=options.slice, count=options.slices, centre=options.center)

    def sample(
        self, volume: CTVolume, partner: CTVolume | None, place: Place, progress: Progress
    ) -> list[Samples]:
        """The samples of a place; without a partner the noise is simulated."""
        from ..low_dose import scan_noise

        alone = self.models.embedding(self.question.domain).module.fixed_size
        seen, region = place.seen(volume, alone=alone)
        full = noise = None
        if partner is not None:
            full = place.seen(partner, alone=alone)[0]
        else:
            noise = scan_noise(volume.crop(place.slices, slice(None), slice(None)))
            noise = noise if noise is None or not alone else noise[:, place.rows, place.columns]
        return self.models.sample_slab(
            seen, self.question, region=region, full_dose_hu=full, noise_hu=noise, progress=progress
        )

    def write(
        self,
        slab: list[Samples],
        volume: CTVolume,
        place: Place,
        out: Path,
        origin: dict[str, Any],
    ) -> None:
        """Write the result folder."""
        from ..report import write_samples

        kind = self.models.embedding(self.question.domain).module.kind
        write_samples(
            slab,
            place.cut(volume),
            out,
            denoiser=self.question.denoiser,
            overwrite=self.overwrite,
            **origin,
            embedding=kind,
        )

    def sample_slice(
        self,
        low: CTVolume,
        full: CTVolume,
        pair: SeriesPair,
        place: Place,
        folder: Path,
        progress: Progress,
    ) -> list[Samples] | None:
        """Sample one slice of a pair into a folder of its own; None where that holds the same answer already.

        Where the pair has no low dose, the slice's is simulated, as for training.
        """
        from ..data import own_seed
        from ..low_dose import simulate_low_dose
        from ..report import require_sample_folder

        out = folder / f"slice-{place.first:03d}"
        origin = {
            **place.to_dict(),
            "patient": pair.patient_id,
            "low_dose": "measured" if pair.low_dose else "simulated",
            "question": self.question.to_dict(),
            "run": self.models.manifest.get("origin", {}).get("run"),
        }
        if not self.overwrite and _is_there(out, origin):
            return None
        require_sample_folder(out, overwrite=self.overwrite)
        alone = Place(0, 1, place.region)
        seen, truth = (each.crop(place.slices, slice(None), slice(None)) for each in (low, full))
        if pair.low_dose is None:
            seed = own_seed(pair.full_dose, self.models.config.seed)
            seen = simulate_low_dose(truth, self.models.config.data.dose, seed=seed)
        slab = self.sample(seen, truth, alone, progress)
        self.write(slab, seen, alone, out, origin | {"models": str(self.models.folder)})
        return slab


def _sample_source(options: Namespace) -> int:
    """Every process takes the next patient in turn; what lies there already, of the same question, is kept."""
    from ..models import Models
    from ..sources import find_pairs
    from ..tensors import together

    with together() as own:
        models = Models.load(options.models)
        asked = _Asked(models, _question(options), options.overwrite)
        models.trained_layer(options.denoiser, options.layer, options.domain, flow=asked.question.flow)
        share, told = own.share(_named(find_pairs(options.data))), []
        with progress_shown("sampling", aloud=own.leads) as progress:
            for number, (name, pair) in enumerate(share):
                heard = part(progress, number / len(share), (number + 1) / len(share))
                told.append(_sample_pair(asked, Path(options.out) / name, pair, options, heard))
        everything = own.together(told)
    for lines, good in everything if own.leads else ():
        for line in lines:
            (say if good else complain)(line)
    done = sum(good for _, good in everything)
    if own.leads:
        say(f"{done} of {len(everything)} series sampled, written to {options.out}")
    return 0 if done == len(everything) else BAD_INPUT


def _named(pairs: Iterable[SeriesPair]) -> list[tuple[str, SeriesPair]]:
    """Every pair with a folder's name of its own: the patient's id, as far as it can be one."""
    found: dict[str, tuple[str, SeriesPair]] = {}
    for pair in pairs:
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", pair.patient_id)[:60]
        plain = name = name if is_name(name) else f"patient_{name}"
        others = count(2)
        while name.lower() in found:
            name = f"{plain}-{next(others)}"
        found[name.lower()] = name, pair
    return list(found.values())


def _sample_pair(
    asked: _Asked, folder: Path, pair: SeriesPair, options: Namespace, progress: Progress
) -> tuple[list[str], bool]:
    """What is said of a pair, slice by slice, and whether all of it was sampled."""
    from ..report import summary

    lines: list[str] = []
    try:
        full = pair.full_dose.read()
        low = full if pair.low_dose is None else pair.low_dose.read()
        require_axial(low)
        _on_grid_of(low, full)
        place = asked.place(low, options)
        for k, index in enumerate(range(place.first, place.first + place.count)):
            who = f"{folder.name}, slice {index}"
            one = replace(asked, question=replace(asked.question, seed=asked.question.seed + k))
            heard = part(progress, k / place.count, (k + 1) / place.count)
            slab = one.sample_slice(low, full, pair, replace(place, first=index, count=1), folder, heard)
            lines.append(f"{who}: {summary(slab) if slab else 'is there already, and is kept'}")
    except VolumeError as error:
        return [f"{folder.name} is left out: {error}"], False
    return lines, True


def _is_there(out: Path, facts: dict[str, Any]) -> bool:
    """Whether a result folder answers the same question already."""
    try:
        said = json.loads((out / "table.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and all(said.get(name) == value for name, value in facts.items())


def _on_grid_of(volume: CTVolume, partner: CTVolume) -> CTVolume:
    """The full-dose partner, which must lie on the volume's grid."""
    if partner.shape != volume.shape or not np.allclose(partner.affine, volume.affine, atol=1e-3):
        raise VolumeError(
            "the full-dose volume lies on another grid than the low-dose one",
            where=partner.source,
            hint="Give the full-dose reconstruction of the same slices.",
        )
    return partner


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
