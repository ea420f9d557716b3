"""The process behind the panel: requests in, events out."""

from .process import serve

__all__ = [
    "serve",
]
