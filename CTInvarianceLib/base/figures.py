"""Numbers as people read them: none that is something is shown as nothing."""

from __future__ import annotations

import math


def decimal(value: float, places: int = 3) -> str:
    """A number with so many decimal places; "0" only where it is, "< 0.001" where it is less, "–" for NaN."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    least = 10.0**-places
    if abs(value) >= least / 2:
        return f"{value:.{places}f}"
    return f"< {least:.{places}f}" if value > 0 else f"> -{least:.{places}f}"


def megabytes(size: float) -> str:
    """Bytes as whole MB: "12 MB", "< 1 MB"."""
    return f"{decimal(size / 1e6, 0)} MB"
