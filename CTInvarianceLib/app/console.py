"""All that is said in a terminal: lines, tables, progress.

What comes from files, such as patients' names, is shown as it is: never as markup, never as commands to the terminal.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from ..base import Event, Progress, Reporter, decimal, megabytes, printable, unheard

_LINE_EVERY_S = 15.0


def take_any_text() -> None:
    """From here on, what a terminal's encoding lacks is spelt out instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def say(text: object) -> None:
    """Print a line on standard output."""
    print(printable(text), flush=True)


def say_json(value: object) -> None:
    """Print a value for machines on standard output; JSON spells out by itself what is not ASCII."""
    print(json.dumps(value, indent=1))


def complain(text: object) -> None:
    """Print a line on standard error."""
    print(printable(text), file=sys.stderr)


class Console:
    """Shows events; use as a context manager, and hand it on as `on_event`."""

    def __enter__(self) -> Self:
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        self._terminal = Terminal(stderr=True)
        self._last, self._stage = 0.0, ""
        self._start = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description:<34}", markup=False),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._terminal,
            disable=not self._terminal.is_terminal,
        )
        self._progress.start()
        self._task = self._progress.add_task("starting", total=1.0, left="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event; see `base.events`."""
        if event["event"] == "log" and event.get("notice"):
            self._terminal.print(printable(event["message"]), markup=False, highlight=False, soft_wrap=True)
        if event["event"] == "started" and "seconds_on_two_cores" in event:
            self._terminal.print(_cost(event), markup=False, highlight=False, soft_wrap=True)
        if event["event"] != "progress":
            return
        stage = printable(event["stage"])
        left = "" if event["eta_s"] is None else f"{_clock(event['eta_s'])} left"
        if self._terminal.is_terminal:
            self._progress.update(self._task, description=stage, completed=event["fraction"], left=left)
        elif stage != self._stage or time.monotonic() - self._last > _LINE_EVERY_S:
            self._stage, self._last = stage, time.monotonic()
            elapsed = _clock(self._last - self._start)
            print(
                f"{elapsed}  {event['fraction']:4.0%}  {stage:<34}{left}",
                file=sys.stderr,
                flush=True,
            )


def _cost(started: Event) -> str:
    """What a training needs, as a line."""
    seconds = _duration(started["seconds_on_two_cores"])
    memory, disk = megabytes(started["memory_bytes"]), megabytes(started["disk_bytes"])
    return f"about {seconds} on two CPU cores, less on a GPU; at least {memory} of memory; {disk} on disk"


def _duration(seconds: float) -> str:
    """In the largest unit that leaves a number to read."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


@contextmanager
def progress_shown(stage: str, *, aloud: bool = True) -> Iterator[Progress]:
    """Progress of work that is one stage; the block hands it on. Of several processes, one speaks aloud."""
    if not aloud:
        yield unheard
        return
    with Console() as console:
        report = Reporter(console, {stage: 1.0})
        yield lambda fraction: report.progress(stage, fraction)


def show_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows with the same keys as a table on standard output."""
    from rich.console import Console as Terminal
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(printable(title)), title_justify="left")
    for name in rows[0]:
        table.add_column(Text(printable(name)), justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    Terminal(width=None if sys.stdout.isatty() else 120).print(table)


def _cell(value: object) -> str:
    return decimal(value) if isinstance(value, float) else printable(value)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
