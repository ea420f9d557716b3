"""A trained set in use: its networks built, loaded, and asked in HU."""

from .builders import build_denoiser, build_embedding, build_flow, for_convolutions
from .description import describe
from .model_set import Models
from .weights import fill_module, load_module, load_tensors, save_tensors

__all__ = [
    "Models",
    "build_denoiser",
    "build_embedding",
    "build_flow",
    "describe",
    "fill_module",
    "for_convolutions",
    "load_module",
    "load_tensors",
    "save_tensors",
]
