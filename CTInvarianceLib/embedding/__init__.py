"""Complete data representations of CT images: VAEs behind one interface."""

from .interface import Embedding, Posterior
from .vector import VectorEmbedding

EMBEDDINGS = {VectorEmbedding.kind: VectorEmbedding}
"""Embeddings that a model set may name."""

__all__ = ["EMBEDDINGS", "Embedding", "Posterior", "VectorEmbedding"]
