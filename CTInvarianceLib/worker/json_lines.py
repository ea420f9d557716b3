"""JSON lines on standard output that nothing else can get in between."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from ..base import Event


class Lines:
    """Writes events to what was standard output until now, one JSON object a line; any thread may write.

    From here on, whatever anybody prints to standard output, C libraries too, goes to standard error.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        self._file = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Write one event; where nobody reads any more, nothing happens."""
        line = json.dumps(plain(event), allow_nan=False).encode() + b"\n"
        with self._lock:
            try:
                while line:  # a pipe may take less than all
                    line = line[self._file.write(line) :]
            except OSError:
                return


def plain(value: Any) -> Any:
    """`value` as JSON knows it: numbers of numpy as Python's, sequences as lists, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if hasattr(value, "tolist"):  # numpy's arrays and numbers, without importing numpy
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
