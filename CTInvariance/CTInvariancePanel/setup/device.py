"""What the networks are computed on: chosen once for this computer."""

from __future__ import annotations

import slicer

_KEY = "CTInvariance/Device"
AUTO = "auto"


def device() -> str:
    """One of "auto", "cuda", "mps" and "cpu"."""
    return str(slicer.app.settings().value(_KEY, "") or AUTO)


def setDevice(name: str) -> None:
    """Remember it."""
    slicer.app.settings().setValue(_KEY, name)
