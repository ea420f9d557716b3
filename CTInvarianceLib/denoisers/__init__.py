"""CT denoisers, and the cut f = Ψ∘Φ at any of their layers."""

from .chen import Chen, Identity
from .cut import layers, remainder, representation, representations
from .reach import reach
from .start import start_as_identity
from .view import View
from .yang import Yang

DENOISERS = {"chen": Chen, "yang": Yang, "identity": Identity}
"""Architectures that a model set may name."""

__all__ = [
    "DENOISERS",
    "Chen",
    "Identity",
    "View",
    "Yang",
    "layers",
    "reach",
    "remainder",
    "representation",
    "representations",
    "start_as_identity",
]
