"""What the panel may ask of its worker: one frozen dataclass for each request, its fields checked before it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..base import ConfigError, Event, OnEvent, as_path
from ..config import Config, Plain, config_from_dict, customized, from_plain, preset
from ..volumes import CTVolume, open_foreign_hu, writing_npy
from .context import Result, Work
from .sample import Sample


class Job(Protocol):
    """A request that can run."""

    def run(self, work: Work) -> Result:
        """Do it; the fields of the "result" event."""
        ...


@dataclass(frozen=True)
class Device(Plain):
    """What is computed on."""

    def run(self, work: Work) -> Result:
        """Name and memory of the device, threads, versions; and which devices there are."""
        from ..tensors import describe_device, devices_here

        return {**describe_device(work.sets.device), "devices": devices_here()}


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
        hu, models = open_foreign_hu(self.volume), work.sets.get(self.models)
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
        """Write float32 HU; answers where the noise spectrum comes from, and what to be careful with."""
        from ..low_dose import simulate_low_dose
        from ..tensors import pick_device

        device = pick_device(work.sets.device)
        volume = CTVolume(open_foreign_hu(self.volume), np.asarray(self.affine, np.float64))
        progress = work.progress("simulating low dose")
        low = simulate_low_dose(volume, self.dose, seed=self.seed, device=device, progress=progress)
        with writing_npy(self.out, *low.shape) as append:
            append(low.hu)
        return {"volume": self.out, "spectrum": asdict(low.spectrum), "note": low.spectrum.sentence}


@dataclass(frozen=True)
class Train(Plain):
    """Train a model set.

    Attributes:
        data: what `find_pairs` takes: a path, or a list of paths.
        preset: name of a preset, and
        config: settings on top of it; one of the two may be missing.
        store: folder of converted series; "": in the user's cache.
        allow_download: whether the person at the panel has allowed to fetch VGG19's weights.
    """

    data: Any
    out: str
    preset: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    resume: bool = False
    store: str = ""
    allow_download: bool = False

    def run(self, work: Work) -> Result:
        """All stages, with their events."""

        def listen(event: Event) -> None:
            if event["event"] in ("progress", "metric", "log"):  # how the job ends is for the worker to say
                work.emit(event)

        self.train(listen, work.should_stop)
        return {"out": self.out}

    def train(self, on_event: OnEvent, should_stop: Callable[[], bool]) -> None:
        """All stages; see `training.train`."""
        from ..training import train

        train(
            _configured(self.preset, self.config),
            self.data,
            self.out,
            resume=self.resume,
            store=self.store or None,
            allow_download=self.allow_download,
            on_event=on_event,
            should_stop=should_stop,
        )


@dataclass(frozen=True)
class Cost(Plain):
    """What a training would take.

    Attributes:
        preset, config: as for `Train`.
        slices: of all series that are there.
        simulated: of the full-dose series whose low dose has to be simulated.
    """

    preset: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    slices: int = 0
    simulated: int = 0

    def run(self, work: Work) -> Result:
        """Seconds on this machine's device, bytes on disk and in memory; raises where the memory is too small."""
        from ..training import cost_of

        config = _configured(self.preset, self.config)
        return asdict(cost_of(config, slices=self.slices, simulated=self.simulated))


def _configured(name: str, config: dict[str, Any]) -> Config:
    if name:
        return customized(preset(name), config)
    if not config:
        raise ConfigError("say what to train", hint='Give "preset" or "config".')
    return config_from_dict(config)


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


_PATHS = ("models", "volume", "out")
JOBS: dict[str, type[Job]] = {
    kind.__name__.lower(): kind
    for kind in (Device, Describe, Denoise, Simulate, Sample, Cost, Train, Evaluate)
}


def job_from(request: dict[str, Any]) -> Job:
    """The job that a request asks for; fields that are null are as good as not there.

    Raises:
        ConfigError: no such command, or fields that are missing, unknown or of another type.
        DataError: an empty path.
    """
    fields = {key: value for key, value in request.items() if value is not None}
    command = fields.pop("command", None)
    fields.pop("job", None)
    if not isinstance(command, str) or command not in JOBS:
        raise ConfigError(
            "no such command", where=repr(command), hint=f"There are {', '.join(JOBS)}, cancel, quit."
        )
    job = from_plain(JOBS[command], fields, f"command {command}")
    for name in _PATHS:
        if name in fields:
            as_path(fields[name], where=f"command {command}, {name}")
    return job
