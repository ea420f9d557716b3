"""The processes behind the panel: one with requests in and events out, and one for every training."""

from .alone import train_alone
from .process import serve

__all__ = [
    "serve",
    "train_alone",
]
