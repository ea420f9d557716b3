"""CT denoisers, the cut f = Ψ∘Φ at any of their layers, and the derivative of Φ."""

from .chen import Chen, Identity
from .cut import layers, remainder, representation, representation_and_output, representations
from .jacobian import Jacobian, Linearizer
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
    "Jacobian",
    "Linearizer",
    "View",
    "Yang",
    "layers",
    "reach",
    "remainder",
    "representation",
    "representation_and_output",
    "representations",
    "start_as_identity",
]
