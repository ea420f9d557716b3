"""
CTInvariance: what a CT denoising network ignores.

Names are looked up when first used, so that importing the package costs nothing and brings in no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "CTVolume": "volumes",
    "read_volume": "files",
    "write_volume": "files",
    "CTSeries": "sources",
    "SeriesPair": "sources",
    "find_pairs": "sources",
    "simulate_low_dose": "low_dose",
    "CTInvarianceError": "base",
    "Chen": "denoisers",
    "Yang": "denoisers",
    "layers": "denoisers",
    "representation": "denoisers",
    "remainder": "denoisers",
    "ConditionalFlow": "flow",
    "ConvolutionalFlow": "flow",
    "Models": "models",
    "train": "training",
    "evaluate": "report",
}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
