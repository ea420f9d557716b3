"""Complete data representations of CT images: VAEs behind one interface."""

from .interface import Embedding, Posterior, kl_divergence
from .spatial import SpatialEmbedding
from .vector import VectorEmbedding

__all__ = [
    "Embedding",
    "Posterior",
    "SpatialEmbedding",
    "VectorEmbedding",
    "kl_divergence",
]
