"""Volumes and transforms in MRML for tests: every geometry that a CT scan arrives in."""

from __future__ import annotations

import time

import numpy as np
import slicer
import vtk

SHAPE = 7, 40, 52
AXIAL = np.array([[-0.7, 0, 0, 31.5], [0, -0.7, 0, -12.25], [0, 0, 3, -205.0], [0, 0, 0, 1]])


def _turned() -> np.ndarray:
    a, b = np.deg2rad(17), np.deg2rad(-31)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    turned = np.eye(4)
    turned[:3, :3] = x @ z
    return turned


def _tilted() -> np.ndarray:
    tilted = AXIAL.copy()
    tilted[1, 2] = 3 * np.tan(np.deg2rad(22))  # gantry tilt: every slice lies a little further to the front
    return tilted


GEOMETRIES = {
    "axial": AXIAL,
    "flipped i": AXIAL @ np.diag([-1, 1, 1, 1]),
    "flipped j": AXIAL @ np.diag([1, -1, 1, 1]),
    "flipped k": AXIAL @ np.diag([1, 1, -1, 1]),
    "sagittal": AXIAL[:, [2, 0, 1, 3]],
    "oblique": _turned() @ AXIAL,
    "anisotropic": AXIAL @ np.diag([0.31, 1.7, 0.2, 1]),
    "sheared": _tilted(),
    "sheared oblique": _turned() @ _tilted(),
}
TRANSFORMS = ("none", "linear", "two linear", "grid", "bspline")


def volume(scene, matrix=AXIAL, name="head", shape=SHAPE, seed=0):
    """A CT volume of noise, float32, with window 350 and level 50."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(
        node, np.random.default_rng(seed).normal(40, 300, shape).astype(np.float32)
    )
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(np.asarray(matrix, float)))
    node.CreateDefaultDisplayNodes()
    display = node.GetScalarVolumeDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(350, 50)
    return node


def transform(scene, kind):
    """A transform node, below another one where `kind` says so; None: none."""
    if kind == "none":
        return None
    if kind in ("linear", "two linear"):
        node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
        matrix = _turned()
        matrix[:3, 3] = 12.5, -7.25, 91
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        if kind == "two linear":
            node.SetAndObserveTransformNodeID(transform(scene, "linear").GetID())
        return node
    if kind == "grid":
        node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "grid")
        warp = slicer.vtkOrientedGridTransform()
        warp.SetDisplacementGridData(_displacements())
    else:
        node = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "bspline")
        warp = slicer.vtkOrientedBSplineTransform()
        warp.SetCoefficientData(_displacements())
    node.SetAndObserveTransformToParent(warp)
    return node


def _displacements():
    image = vtk.vtkImageData()
    image.SetOrigin(-200, -200, -300)
    image.SetSpacing(40, 40, 40)
    image.SetDimensions(11, 11, 11)
    image.AllocateScalars(vtk.VTK_DOUBLE, 3)
    from vtk.util.numpy_support import vtk_to_numpy

    values = vtk_to_numpy(image.GetPointData().GetScalars())
    values[:] = np.random.default_rng(3).uniform(-3, 3, values.shape)
    return image


def world(node, ijk):
    """World RAS of a voxel, by MRML alone."""
    matrix, up = vtk.vtkMatrix4x4(), vtk.vtkGeneralTransform()
    node.GetIJKToRASMatrix(matrix)
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, up)
    return np.array(up.TransformPoint(matrix.MultiplyPoint((*ijk, 1))[:3]))


def values(node):
    """Of a volume node, (S, H, W)."""
    return slicer.util.arrayFromVolume(node)


def step_times(work) -> list[float]:
    """Seconds of processor time of every step of a generator, the last one included."""
    took = []
    for _ in range(10_000):
        start = time.thread_time()
        ended = next(work, True)
        took.append(time.thread_time() - start)
        if ended:
            break
    return took
