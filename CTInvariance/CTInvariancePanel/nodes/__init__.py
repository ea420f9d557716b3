"""Volumes, samples and maps as nodes of a MRML scene."""

from .curves import CHARTS, Chart, plot
from .example import readExample, showExample
from .finding import nodesOf
from .patch import Patch
from .replacing import acceptSamples, replaceSamples
from .sample_nodes import SampleNodes
from .samples import addSamples
from .space import ijkToRAS, ijkToWorld, sameGrid, worldToIJK
from .volumes import factsOf

__all__ = [
    "CHARTS",
    "Chart",
    "Patch",
    "SampleNodes",
    "acceptSamples",
    "addSamples",
    "factsOf",
    "ijkToRAS",
    "ijkToWorld",
    "nodesOf",
    "plot",
    "readExample",
    "replaceSamples",
    "sameGrid",
    "showExample",
    "worldToIJK",
]
