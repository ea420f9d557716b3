"""Seeded CT phantoms: axial slices of chest, abdomen and head with known truth.

Geometric figures for training and testing without patient data; recognisable, not anatomically exact.
"""

from .folder import phantom_source, write_phantoms
from .pairs import PhantomPair, phantom_pair
from .slices import KINDS, phantom

__all__ = [
    "KINDS",
    "PhantomPair",
    "phantom",
    "phantom_pair",
    "phantom_source",
    "write_phantoms",
]
