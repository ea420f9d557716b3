"""A trained set in use: its networks built, loaded, and asked in HU."""

from .builders import build_denoiser, build_embedding, build_flow, for_convolutions
from .description import describe
from .model_set import Models
from .size import MOST_WEIGHTS, flow_weights, require_weights
from .unrelated import unrelated_tensors
from .weights import fill_module, load_module, load_tensors, read_header, save_tensors

__all__ = [
    "MOST_WEIGHTS",
    "Models",
    "build_denoiser",
    "build_embedding",
    "build_flow",
    "describe",
    "fill_module",
    "flow_weights",
    "for_convolutions",
    "load_module",
    "load_tensors",
    "read_header",
    "require_weights",
    "save_tensors",
    "unrelated_tensors",
]
