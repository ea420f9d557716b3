"""Arrays as VTK images, copied in steps."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import vtk

STEP_BYTES = 2**21
"""Copied at a time: about a millisecond."""


def imageOf(array: np.ndarray) -> Generator[None, None, Any]:
    """A vtkImageData with values (S, h, w), copied some slices at a time."""
    from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

    image = vtk.vtkImageData()
    image.SetDimensions(*array.shape[::-1])
    image.AllocateScalars(get_vtk_array_type(array.dtype), 1)
    yield from copyTo(vtk_to_numpy(image.GetPointData().GetScalars()).reshape(array.shape), array)
    return image


def copyTo(target: np.ndarray, array: np.ndarray) -> Generator[None, None, None]:
    """Copy values (S, h, w) into others of the same shape, some slices at a time."""
    step = max(1, STEP_BYTES // array[0].nbytes)
    for first in range(0, len(array), step):
        target[first : first + step] = array[first : first + step]
        yield
