"""What the commands on model sets do: `train`, `evaluate`, `models` and `demo`."""

from __future__ import annotations

import signal
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..base import ConfigError, ModelsError, in_words
from ..config import (
    MANIFEST,
    Config,
    configuration,
    delete_models,
    preset,
    read_config,
    read_manifest,
    summary,
)
from .console import Console, complain, progress_shown, say, say_json, show_table

_TITLES = {
    "samples": "samples (tolerance in rescans; spread, arrives, noise_arrives, change_rms and moved in HU)"
}


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
            allow_download=options.allow_download,
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


def evaluate(options: Namespace) -> None:
    """Measure a model set on patients it has not seen."""
    from ..models import Models
    from ..report import evaluate as measure
    from ..report import require_report_place, write_report
    from ..tensors import together

    out, overwrite = Path(options.out), options.overwrite
    with together() as own:
        require_report_place(out, overwrite=overwrite)
        models = Models.load(options.models)
        with progress_shown("evaluating", aloud=own.leads) as progress:
            tables = measure(
                models, options.data, store=options.store, patches=options.patches, progress=progress
            )
        if own.leads:
            write_report(tables, out, overwrite=overwrite, models=str(options.models), data=str(options.data))
    for title, rows in tables.items() if own.leads else ():
        if rows:
            show_table(title, rows)


def models(options: Namespace) -> None:
    """List, show or delete model sets."""
    folder = Path(options.folder)
    if options.action == "list":
        _list(folder)
    elif options.action == "show":
        say_json({**summary(folder), **read_manifest(folder)})
    else:
        delete_models(folder)
        say(f"deleted {folder}")


def _list(folder: Path) -> None:
    """The sets of a folder as a table, and of what looks like one why it is none."""
    found = []
    for path in sorted(folder.glob(f"*/{MANIFEST}")):
        try:
            found.append(summary(path.parent))
        except Exception as error:  # one that is damaged, whatever is wrong with it, hides no other
            complain(f"warning: {path.parent.name} cannot be used: {in_words(error)[0]}")
    if not found:
        raise ModelsError("there are no model sets in this folder", where=folder)
    show_table(f"model sets in {folder}", found)


def demo(options: Namespace) -> None:
    """The whole method from nothing."""
    from .demo import run_demo

    with Console() as console, _stop_on_interrupt() as should_stop:
        summary = run_demo(Path(options.out), fresh=options.fresh, on_event=console, should_stop=should_stop)
    for title, rows in summary.tables.items():
        show_table(_TITLES.get(title, title), rows)
    say(f"Look at {summary.pictures}; numbers are in {summary.table}.")
