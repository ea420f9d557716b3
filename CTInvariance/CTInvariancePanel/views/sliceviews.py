"""Slice views of our own: which they are, how they look at a volume's slices face on, and how close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk

from ..nodes import Patch

_GROUP = 26  # views of one group are linked with each other, and with no others
_ROOM_PX = 440  # a bar as wide as this holds a whole name beside its buttons, slider and offset
_PRESETS = ("Axial", "Coronal", "Sagittal")


@dataclass(frozen=True)
class View:
    """A slice view.

    Attributes:
        tag: by which the layout and the scene know it.
        letters: what its bar says: of three columns, Slicer leaves room for two letters.
        name: what it is called where there is room.
        colour: of its bar.
    """

    tag: str
    letters: str
    name: str
    colour: str

    @property
    def xml(self) -> str:
        """For the description of a layout."""
        properties = {
            "orientation": "Axial",
            "viewlabel": self.letters,
            "viewcolor": self.colour,
            "viewgroup": _GROUP,
        }
        lines = (
            f'<property name="{key}" action="default">{value}</property>' for key, value in properties.items()
        )
        return f'<view class="vtkMRMLSliceNode" singletontag="{self.tag}">{"".join(lines)}</view>'


def sliceNodeOf(scene: Any, view: View) -> Any:
    """The view's slice node, which the layout makes; None before that."""
    return scene.GetSingletonNode(view.tag, "vtkMRMLSliceNode")


def compositeOf(scene: Any, view: View) -> Any:
    """The node that says which volumes a view shows; made where the view itself has not done so yet."""
    node = scene.GetSingletonNode(view.tag, "vtkMRMLSliceCompositeNode")
    if node is None:
        node = slicer.vtkMRMLSliceCompositeNode()
        node.SetLayoutName(view.tag)
        node.SetSingletonTag(view.tag)
        node = scene.AddNode(node)
    return node


def faceSlice(sliceNode: Any, volumeNode: Any) -> None:
    """Look at the middle slice of a volume face on, through its transforms, turned as doctors expect it."""
    corners = _middleSlice(volumeNode)
    i, j = corners[1] - corners[0], corners[3] - corners[0]
    axes = [i / np.linalg.norm(i), j / np.linalg.norm(j)]
    normal = np.cross(*axes)
    normal /= np.linalg.norm(normal)
    presets = [_preset(sliceNode, name) for name in _PRESETS]
    right, up, through = max(presets, key=lambda preset: abs(preset[:3, 2] @ normal))[:3, :3].T
    x = _signed(max(axes, key=lambda axis: abs(axis @ right)), right)
    z = _signed(normal, through)
    y = _signed(np.cross(z, x), up)  # across x, even where the grid is sheared
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([x, y, z, corners.mean(axis=0)])
    slicer.util.updateVTKMatrixFromArray(sliceNode.GetSliceToRAS(), matrix)
    sliceNode.UpdateMatrices()


def nameView(sliceNode: Any, view: View) -> None:
    """Call a view by its whole name wherever there is room; the bar may be too narrow."""
    sliceNode.SetName(view.name)
    manager = slicer.app.layoutManager()
    widget = manager.sliceWidget(view.tag) if manager is not None else None
    width = widget.width if widget is not None else sliceNode.GetDimensions()[0]
    sliceNode.SetLayoutLabel(view.name if width >= _ROOM_PX else view.letters)


def placeInView(sliceNode: Any, volumeNode: Any) -> tuple[np.ndarray, np.ndarray]:
    """Middle of a volume, from the middle of a view, and width and height of its middle slice there; mm."""
    toRAS = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
    inView = (_middleSlice(volumeNode) - toRAS[:3, 3]) @ toRAS[:3, :2]
    return inView.mean(axis=0), np.ptp(inView, axis=0)


def moveView(sliceNode: Any, right: float, up: float) -> None:
    """Let a view look at a place so many mm further to its right and up, on the same slice."""
    toRAS = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
    toRAS[:3, 3] += toRAS[:3, :2] @ (right, up)
    slicer.util.updateVTKMatrixFromArray(sliceNode.GetSliceToRAS(), toRAS)
    sliceNode.SetXYZOrigin(0, 0, 0)
    sliceNode.UpdateMatrices()


def _middleSlice(volumeNode: Any) -> np.ndarray:
    depth = volumeNode.GetImageData().GetDimensions()[2]
    return Patch.wholeSlice(volumeNode, depth // 2).corners(volumeNode)


def _preset(sliceNode: Any, name: str) -> np.ndarray:
    """Right, up and through as columns; the user's own convention where the view knows it."""
    if sliceNode.HasSliceOrientationPreset(name):
        return slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceOrientationPreset(name))
    matrix = vtk.vtkMatrix3x3()
    getattr(sliceNode, f"Get{name}SliceToRASMatrix")(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _signed(axis: np.ndarray, like: np.ndarray) -> np.ndarray:
    return axis if axis @ like >= 0 else -axis
