"""
Between HU and the units that the networks see.

Equation: u = (HU + 1024 − 481.454) / 502.185, the standardisation of Eulig et al., "Benchmarking deep
learning-based low-dose CT image denoising algorithms", Med Phys 2024, doi:10.1002/mp.17379. Images are in
HU everywhere else; they become HU again at once behind a denoiser or decoder.
"""

from __future__ import annotations

from typing import Any, TypeVar

Image = TypeVar("Image", bound=Any)  # a numpy array or a torch tensor

OFFSET_HU = 1024.0
MEAN = 481.454
STD = 502.185


def normalize(hu: Image) -> Image:
    """HU to normalised units, any shape."""
    return (hu + (OFFSET_HU - MEAN)) / STD  # type: ignore[no-any-return]


def denormalize(image: Image) -> Image:
    """Normalised units to HU, any shape; the exact inverse of :func:`normalize`."""
    return image * STD + (MEAN - OFFSET_HU)  # type: ignore[no-any-return]
