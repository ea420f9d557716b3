"""Progress in a terminal: stages, bar, time left; plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from ..base import Event, Progress, Reporter, decimal

_LINE_EVERY_S = 15.0


class Console:
    """Shows events; use as a context manager, and hand it on as `on_event`."""

    def __enter__(self) -> Self:
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        self._terminal = Terminal(stderr=True)
        self._last, self._stage = 0.0, ""
        self._start = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description:<34}"),
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
        if event["event"] != "progress":
            return
        left = "" if event["eta_s"] is None else f"{_clock(event['eta_s'])} left"
        if self._terminal.is_terminal:
            self._progress.update(
                self._task, description=event["stage"], completed=event["fraction"], left=left
            )
        elif event["stage"] != self._stage or time.monotonic() - self._last > _LINE_EVERY_S:
            self._stage, self._last = event["stage"], time.monotonic()
            elapsed = _clock(self._last - self._start)
            print(
                f"{elapsed}  {event['fraction']:4.0%}  {event['stage']:<34}{left}",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def progress_shown(stage: str) -> Iterator[Progress]:
    """Progress of work that is one stage; the block hands it on."""
    with Console() as console:
        report = Reporter(console, {stage: 1.0})
        yield lambda fraction: report.progress(stage, fraction)


def show_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows with the same keys as a table on standard output."""
    from rich.console import Console as Terminal
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="left" if isinstance(rows[0][name], str) else "right")
    for row in rows:
        table.add_row(*(decimal(value) if isinstance(value, float) else str(value) for value in row.values()))
    Terminal(width=None if sys.stdout.isatty() else 120).print(table)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
