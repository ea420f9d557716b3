"""What the panel may ask of its worker: one frozen dataclass for each request, its fields checked before it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..base import ConfigError, Event, VolumeError
from ..config import Config, Plain, Question, config_from_dict, customized, from_plain, preset
from ..volumes import CTVolume, open_hu, writing_npy
from .context import Work

if TYPE_CHECKING:
    from ..sampling import Samples
    from ..volumes import Region

Result = dict[str, Any]


class Job(Protocol):
    """A request that can run."""

    def run(self, work: Work) -> Result:
        """Do it; the fields of the "result" event."""
        ...


@dataclass(frozen=True)
class Device(Plain):
    """What is computed on."""

    def run(self, work: Work) -> Result:
        """Name and memory of the device, threads, versions."""
        from ..tensors import describe_device

        return describe_device(work.sets.device)


@dataclass(frozen=True)
class Describe(Plain):
    """What a model set can do."""

    models: str

    def run(self, work: Work) -> Result:
        """Patch size, kind of embedding, and all layers of all denoisers."""
        from ..models import describe

        return describe(work.sets.get(self.models))


@dataclass(frozen=True)
class Denoise(Plain):
    """Denoise a volume, .npy to .npy."""

    models: str
    denoiser: str
    volume: str
    out: str

    def run(self, work: Work) -> Result:
        """Write float32 HU."""
        hu, models = open_hu(self.volume), work.sets.get(self.models)
        with writing_npy(self.out, *hu.shape) as append:
            for part in models.denoised(hu, self.denoiser, progress=work.progress("denoising")):
                append(part)
        return {"volume": self.out}


@dataclass(frozen=True)
class Simulate(Plain):
    """Low dose from full dose, .npy to .npy."""

    volume: str
    affine: tuple[tuple[float, ...], ...]
    out: str
    dose: float = 0.25
    seed: int = 0

    def run(self, work: Work) -> Result:
        """Write float32 HU."""
        from ..low_dose import simulate_low_dose
        from ..tensors import pick_device

        device = pick_device(work.sets.device)
        volume = CTVolume(open_hu(self.volume), np.asarray(self.affine, np.float64))
        progress = work.progress("simulating low dose")
        low = simulate_low_dose(volume, self.dose, seed=self.seed, device=device, progress=progress)
        with writing_npy(self.out, *low.shape) as append:
            append(low.hu)
        return {"volume": self.out}


@dataclass(frozen=True, kw_only=True)
class Sample(Question):
    """Sample a layer's invariances in every slice of a slab.

    Attributes:
        volume: .npy (S, H, W), HU, of the slices alone that are asked about.
        region: top, left, height, width; empty: whole slices.
        full_dose: likewise .npy, the full-dose partner; "": none.
        out: folder for the arrays.
    """

    models: str
    volume: str
    out: str
    region: tuple[int, ...] = ()
    full_dose: str = ""

    def run(self, work: Work) -> Result:
        """Write the arrays as soon as they are there, then measure R."""
        from ..report import table
        from ..sampling import DRAWING_SHARE

        models, start = work.sets.get(self.models), time.monotonic()
        embedding = models.embedding(self.domain).module
        low, full, region = self._seen(alone=embedding.fixed_size)
        progress = work.progress("sampling")

        def show(slab: Sequence[Samples]) -> None:
            self._write(slab)
            progress(DRAWING_SHARE, ready={"out": self.out})

        slab = models.sample_slab(
            low, self, full_dose_hu=full, region=region, progress=progress, on_drawn=show
        )
        return {
            "out": self.out,
            "consistency": [samples.consistency for samples in slab],
            "floor": [samples.floor for samples in slab],
            "ceiling": [samples.ceiling for samples in slab],
            "seconds": round(time.monotonic() - start, 2),
            "device": str(models.device),
            "table": table(slab, denoiser=self.denoiser, models=self.models, embedding=embedding.kind),
        }

    def _seen(self, *, alone: bool) -> tuple[np.ndarray, np.ndarray | None, Region | None]:
        """Low dose and full dose as `Place.seen` has them, and the region of them."""
        from ..volumes import Place, Region

        volumes = [CTVolume(open_hu(path), np.eye(4), path) for path in (self.volume, self.full_dose) if path]
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

    def _write(self, slab: Sequence[Samples]) -> None:
        """samples.npy (n, S, h, w), and patch, denoised, target, embedded, mean and std (S, h, w)."""
        out, (rows, columns) = Path(self.out), slab[0].patch.shape
        with writing_npy(out / "samples.npy", self.n, len(slab), rows, columns) as append:
            for i in range(self.n):
                for samples in slab:
                    append(samples.images[i])
        for name in ("patch", "denoised", "target", "embedded", "mean", "std"):
            with writing_npy(out / f"{name}.npy", len(slab), rows, columns) as append:
                for samples in slab:
                    append(getattr(samples, name))


@dataclass(frozen=True)
class Train(Plain):
    """Train a model set.

    Attributes:
        data: what `find_pairs` takes: a path, or a list of paths.
        preset: name of a preset, and
        config: settings on top of it; one of the two may be missing.
        store: folder of converted series; "": in the user's cache.
    """

    data: Any
    out: str
    preset: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    resume: bool = False
    store: str = ""

    def run(self, work: Work) -> Result:
        """All stages, with their events."""
        from ..training import train

        def listen(event: Event) -> None:
            if event["event"] in ("progress", "metric", "log"):  # how the job ends is for the worker to say
                work.emit(event)

        train(
            self._config(),
            self.data,
            self.out,
            resume=self.resume,
            store=self.store,
            on_event=listen,
            should_stop=work.should_stop,
        )
        return {"out": self.out}

    def _config(self) -> Config:
        if self.preset:
            return customized(preset(self.preset), self.config)
        if not self.config:
            raise ConfigError("say what to train", hint='Give "preset" or "config".')
        return config_from_dict(self.config)


@dataclass(frozen=True)
class Evaluate(Plain):
    """Measure a model set on patients it has not seen."""

    models: str
    data: Any
    out: str

    def run(self, work: Work) -> Result:
        """Tables, and the report as files."""
        from ..report import evaluate, write_report

        tables = evaluate(work.sets.get(self.models), self.data, progress=work.progress("evaluating"))
        write_report(tables, Path(self.out), models=self.models, data=str(self.data))
        return {"tables": tables, "out": self.out}


JOBS: dict[str, type[Job]] = {
    kind.__name__.lower(): kind for kind in (Device, Describe, Denoise, Simulate, Sample, Train, Evaluate)
}


def job_from(request: dict[str, Any]) -> Job:
    """The job that a request asks for; fields that are null are as good as not there.

    Raises:
        ConfigError: no such command, or fields that are missing, unknown or of another type.
    """
    fields = {key: value for key, value in request.items() if value is not None}
    command = fields.pop("command", None)
    fields.pop("job", None)
    if not isinstance(command, str) or command not in JOBS:
        raise ConfigError(
            "no such command", where=repr(command), hint=f"There are {', '.join(JOBS)}, cancel, quit."
        )
    return from_plain(JOBS[command], fields, f"command {command}")
