"""The figures that a training writes into its log, read as they come, a little at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_BYTES = 1 << 17  # at a time: some milliseconds
_MOST = 500  # points of a curve


class MetricsLog:
    """Follows a log of events, JSON lines, from its beginning.

    Args:
        path: of the log; it may come later.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0
        self._values: dict[str, dict[str, dict[int, float]]] = {}

    def read(self) -> bool:
        """Read on; whether there may be more to read at once."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                block = file.read(_BYTES)
        except OSError:  # not there yet, or gone
            return False
        whole = block[: block.rfind(b"\n") + 1]  # the last line may still be being written
        self._offset += len(whole)
        for line in whole.splitlines():
            self._hear(line)
        return bool(whole) and len(block) == _BYTES

    def curves(self, stage: str) -> dict[str, tuple[list[int], list[float]]]:
        """Steps and values of every figure of a stage, at most 500 points of each.

        What an interrupted training did twice counts once.
        """
        return {name: _thinned(values) for name, values in self._values.get(stage, {}).items()}

    def _hear(self, line: bytes) -> None:
        try:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "metric" and event["value"] is not None:
                named = self._values.setdefault(str(event["stage"]), {}).setdefault(str(event["name"]), {})
                named[int(event["step"])] = float(event["value"])
        except (ValueError, KeyError, TypeError):  # a line that a full disk has cut
            return


def _thinned(values: dict[int, float]) -> tuple[list[int], list[float]]:
    steps = sorted(values)
    if len(steps) > _MOST:
        steps = [steps[round(k * (len(steps) - 1) / (_MOST - 1))] for k in range(_MOST)]
    return steps, [values[step] for step in steps]
