"""Voxels, a volume's own space below its transforms, and the world above them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk


def ijkToRAS(volumeNode: Any) -> np.ndarray:
    """Voxel (i, j, k) to millimetres, RAS, float64 4x4; the volume's own space, below its transforms."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def affineLPS(volumeNode: Any) -> np.ndarray:
    """Voxel (i, j, k) to millimetres, LPS as in DICOM and in the library, float64 4x4."""
    return np.diag([-1.0, -1, 1, 1]) @ ijkToRAS(volumeNode)


def ijkToWorld(volumeNode: Any, ijk: Sequence[float]) -> np.ndarray:
    """World RAS, mm, of a voxel position, through all transforms above the volume."""
    local = (ijkToRAS(volumeNode) @ (*ijk, 1))[:3]
    return np.array(_between(volumeNode.GetParentTransformNode(), None).TransformPoint(*local))


def worldToIJK(volumeNode: Any, ras: Sequence[float]) -> np.ndarray:
    """Voxel position (i, j, k) of a point in the world, through all transforms above the volume."""
    local = _between(None, volumeNode.GetParentTransformNode()).TransformPoint(*(float(x) for x in ras))
    return np.linalg.solve(ijkToRAS(volumeNode), (*local, 1))[:3]


def sameGrid(volumeNode: Any, other: Any) -> bool:
    """Whether the voxels of two volumes lie at the same places, below their transforms."""
    sizes = [
        node.GetImageData().GetDimensions() if node.GetImageData() else None for node in (volumeNode, other)
    ]
    return sizes[0] == sizes[1] and np.allclose(ijkToRAS(volumeNode), ijkToRAS(other), atol=1e-3)


def _between(source: Any, target: Any) -> Any:
    """From one transform node's space to another's; None: the world."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, transform)
    return transform
