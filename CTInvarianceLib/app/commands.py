"""What each command does, given its parsed options."""

from __future__ import annotations

import json
import signal
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..base import ConfigError, ModelsError, Reporter, VolumeError
from ..config import (
    Config,
    Question,
    configuration,
    delete_models,
    list_models,
    preset,
    read_config,
    read_manifest,
    summary,
)
from ..files import read_volume, writable_suffix, write_volume
from .console import Console, show_table
from .data_commands import pairs, store


def simulate(options: Namespace) -> None:
    """Low dose from full dose."""
    from ..low_dose import simulate_low_dose

    writable_suffix(options.out)
    volume = read_volume(options.volume)
    with Console() as console:
        report = Reporter(console, {"simulating": 1.0})
        low = simulate_low_dose(
            volume, options.dose, seed=options.seed, progress=lambda f: report.progress("simulating", f)
        )
    write_volume(low, options.out)


def phantom(options: Namespace) -> None:
    """Write phantoms with known truth."""
    from ..phantoms import KINDS, phantom_source, write_phantoms

    source = phantom_source(options.out)
    with Console() as console:
        report = Reporter(console, {"phantoms": 1.0})
        written = write_phantoms(
            options.out,
            patients=options.patients,
            slices=options.slices,
            size=options.size,
            pixel_mm=options.pixel_mm,
            dose=options.dose,
            seed=options.seed,
            kinds=options.kind or KINDS,
            progress=lambda f: report.progress("phantoms", f),
        )
    size = sum(path.stat().st_size for path in written) / 1e6
    print(
        f"Patients: {options.patients}, slices of each: {options.slices}, at two doses, {size:.1f} MB. "
        f'The DICOM files are in {source}, the truth beside it. Go on with: ctinvariance pairs "{source}"'
    )


def train(options: Namespace) -> None:
    """Train a model set, or go on with one."""
    from ..training import train as run

    out = Path(options.out)
    if options.preset is None and options.config is None and not options.resume:
        raise ConfigError("say what to train", hint="Use --preset quick, or --config FILE.")
    with Console() as console, _stop_on_interrupt() as should_stop:
        run(
            _config(options, out),
            options.data,
            out,
            resume=options.resume,
            store=options.store,
            on_event=console,
            should_stop=should_stop,
        )


def _config(options: Namespace, out: Path) -> Config:
    """Preset, with the file on top; when resuming without either, the configuration of the run."""
    if options.preset is None and options.config is None:
        return configuration(read_manifest(out), out)
    base = preset(options.preset) if options.preset else None
    return read_config(options.config, base) if options.config else preset(options.preset)


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """First Ctrl-C (or SIGTERM): stop at the next step and save. Second: stop at once."""
    asked: list[int] = []

    def handle(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def denoise(options: Namespace) -> None:
    """Denoise a volume."""
    from ..models import Models

    writable_suffix(options.out)
    models, volume = Models.load(options.models), read_volume(options.volume)
    models.denoiser(options.denoiser)
    with Console() as console:
        report = Reporter(console, {"denoising": 1.0})
        result = models.denoise(volume, options.denoiser, progress=lambda f: report.progress("denoising", f))
    write_volume(result, options.out)


def sample(options: Namespace) -> None:
    """Sample a layer's invariances at a patch, or in whole slices."""
    from ..models import Models
    from ..report import write_samples
    from ..volumes import Place

    models, volume = Models.load(options.models), read_volume(options.volume)
    question = Question(
        options.denoiser, options.layer, options.n, options.domain, options.seed, options.tile
    )
    embedding = models.trained_layer(question.denoiser, question.layer, question.domain).embedding
    sides = _sides(options, embedding.patch_size)
    place = Place.choose(volume, sides, first=options.slice, count=options.slices, centre=options.center)
    seen, region = place.seen(volume, alone=embedding.fixed_size)
    start = time.perf_counter()
    with Console() as console:
        report = Reporter(console, {"sampling": 1.0})
        slab = models.sample_slab(
            seen,
            question,
            region=region,
            progress=lambda f: report.progress("sampling", f),
        )
    seconds = time.perf_counter() - start
    origin = {
        "volume": str(options.volume),
        **place.to_dict(),
        "models": str(options.models),
        "embedding": embedding.kind,
    }
    write_samples(slab, place.cut(volume), Path(options.out), denoiser=options.denoiser, **origin)
    r = np.concatenate([samples.consistency for samples in slab])
    drawn = f"{options.n} samples" + (f" of each of {place.count} slices" if place.count > 1 else "")
    print(f"{drawn} in {seconds:.1f} s, R = {r.mean():.3f} ± {r.std():.3f}, written to {options.out}")


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


def evaluate(options: Namespace) -> None:
    """Measure a model set on patients it has not seen."""
    from ..models import Models
    from ..report import evaluate as measure
    from ..report import write_report

    models = Models.load(options.models)
    with Console() as console:
        report = Reporter(console, {"evaluating": 1.0})
        tables = measure(
            models, options.data, store=options.store, progress=lambda f: report.progress("evaluating", f)
        )
    write_report(tables, Path(options.out), models=str(options.models), data=str(options.data))
    for title, rows in tables.items():
        if rows:
            show_table(title, rows)


def models(options: Namespace) -> None:
    """List, show or delete model sets."""
    folder = Path(options.folder)
    if options.action == "list":
        found = list_models(folder)
        if not found:
            raise ModelsError("there are no model sets in this folder", where=folder)
        show_table(f"model sets in {folder}", found)
    elif options.action == "show":
        print(json.dumps({**summary(folder), **read_manifest(folder)}, indent=1))
    else:
        delete_models(folder)
        print(f"deleted {folder}")


def demo(options: Namespace) -> None:
    """The whole method from nothing."""
    from .demo import run_demo

    with Console() as console, _stop_on_interrupt() as should_stop:
        summary = run_demo(Path(options.out), fresh=options.fresh, on_event=console, should_stop=should_stop)
    for title, rows in summary.tables.items():
        show_table(title, rows)
    print(f"Look at {summary.pictures}; numbers are in {summary.table}.")


COMMANDS: dict[str, Callable[[Namespace], int | None]] = {
    function.__name__: function
    for function in (pairs, store, simulate, phantom, train, denoise, sample, evaluate, models, demo)
}
