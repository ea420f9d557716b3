"""The patches of a model set that the ceiling of R is measured with: of many places in many patients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..base import WeightsError
from ..config import DOMAINS
from ..tensors import denormalize
from .weights import load_tensors, read_header

_MOST = 1024  # patches


def unrelated_tensors(patches: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Patches of every domain, normalised, (m, 1, H, W) each, as whole HU: what a model set keeps of them."""
    return {name: denormalize(each.cpu()).round().to(torch.int16) for name, each in patches.items()}


def load_unrelated(path: Path, size: int) -> dict[str, Tensor]:
    """Domain -> (m, 1, size, size), HU.

    Raises:
        WeightsError: no such file, or not int16 patches of that size in both domains.
    """
    shapes = read_header(path).shapes
    for domain in DOMAINS:
        dtype, shape = shapes.get(domain, ("nothing", ()))
        if dtype != "I16" or len(shape) != 4 or shape[1:] != (1, size, size) or not 0 < shape[0] <= _MOST:
            raise WeightsError(
                f"the patches of the domain {domain} are {dtype} of shape {shape}",
                where=path,
                hint=f"A model set has int16 patches (m, 1, {size}, {size}) there, m up to {_MOST}.",
            )
    if set(shapes) != set(DOMAINS):
        raise WeightsError(f"there are more than the domains {', '.join(DOMAINS)}", where=path)
    return load_tensors(path)[0]
