"""Data representations of CT images: a complete one, and VAEs, behind one interface."""

from .complete import CompleteEmbedding
from .interface import Embedding, Posterior, kl_divergence
from .spatial import SpatialEmbedding
from .vector import VectorEmbedding

__all__ = [
    "CompleteEmbedding",
    "Embedding",
    "Posterior",
    "SpatialEmbedding",
    "VectorEmbedding",
    "kl_divergence",
]
