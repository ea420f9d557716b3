"""JSON that every reader takes: no NaN, no infinity, and files no larger than they have reason to be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def json_text(value: Any, *, indent: int | None = None) -> str:
    """`value` as JSON; NaN and infinity, which JSON does not know, become null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_text(path: Path, *, most: int) -> str:
    """The text of a UTF-8 file.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is longer, or no UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"more than {most / 1e6:.0f} MB")
    return content.decode("utf-8")
