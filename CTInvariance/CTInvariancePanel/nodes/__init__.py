"""Volumes, samples and maps as nodes of a MRML scene."""

from .finding import nodesOf
from .patch import Patch
from .sample_nodes import SampleNodes
from .samples import addSamples
from .space import ijkToRAS, ijkToWorld, worldToIJK
from .volumes import factsOf

__all__ = [
    "Patch",
    "SampleNodes",
    "addSamples",
    "factsOf",
    "ijkToRAS",
    "ijkToWorld",
    "nodesOf",
    "worldToIJK",
]
