"""The square in the slice views: drag it, and the patch follows, voxel by voxel and inside the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import slicer
import vtk

from ..nodes import Patch, ijkToRAS, worldToIJK

_COLOUR = 1.0, 0.8, 0.1
_HANDLE = 1.2  # per cent of the screen; Slicer's 3 hide what is looked at
_TransformModified = slicer.vtkMRMLTransformableNode.TransformModifiedEvent


class PatchROI:
    """A markups ROI that keeps the size of a patch, and lies in the plane of the volume's slices.

    Args:
        scene: in which it is shown.
        changed: called with the new patch when the square was dragged, with None when it was deleted, or the
            volume or the scene with it.
    """

    def __init__(self, scene: Any, changed: Callable[[Patch | None], object]) -> None:
        self.node: Any = None
        self.patch: Patch | None = None
        self._scene, self._changed = scene, changed
        self._volume: Any = None
        self._observed: list[tuple[Any, int]] = []
        self._viewIDs: list[str] = []

    def show(self, volumeNode: Any, patch: Patch) -> None:
        """Show the square around a patch of a volume."""
        if self.node is None or volumeNode is not self._volume:
            self._forget()
            self.node = self.node or self._newNode()
            self._volume = volumeNode
            self._observe()
        self.patch = patch
        self._place()
        self.node.SetDisplayVisibility(True)

    def showIn(self, viewIDs: Sequence[str]) -> None:
        """Show it in these views alone; none: in all."""
        self._viewIDs = list(viewIDs)
        if self.node is not None:
            self.node.GetDisplayNode().SetViewNodeIDs(self._viewIDs)

    def hide(self) -> None:
        """Keep the square, but do not show it."""
        if self.node is not None:
            self.node.SetDisplayVisibility(False)

    def remove(self) -> None:
        """Take the square out of the scene; nobody is called."""
        node, self.node = self.node, None
        self._forget()
        if node is not None and node.GetScene() is not None:
            node.GetScene().RemoveNode(node)

    def moveToSlice(self, k: int) -> None:
        """Take the same square to another slice of the volume, the nearest that there is."""
        if self.patch is not None:
            self._move(replace(self.patch, slice=k))

    # Parts

    def _newNode(self) -> Any:
        node = self._scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "CT Invariance patch")
        node.SetSaveWithScene(False)  # it belongs to the panel, not to what was found
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetHandlesInteractive(True)
        display.SetTranslationHandleVisibility(True)
        display.SetRotationHandleVisibility(False)
        display.SetScaleHandleVisibility(False)
        display.SetPointLabelsVisibility(False)
        display.SetPropertiesLabelVisibility(False)
        display.SetFillVisibility(False)
        display.SetInteractionHandleScale(_HANDLE)
        display.SetGlyphScale(_HANDLE)
        display.SetViewNodeIDs(self._viewIDs)
        display.SetSelectedColor(*_COLOUR)
        display.SetColor(*_COLOUR)
        return node

    def _observe(self) -> None:
        for target, event, handler in (
            (self.node, slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent, self._onDragged),
            (self._volume, _TransformModified, self._onTransformed),
            (self._scene, slicer.vtkMRMLScene.NodeRemovedEvent, self._onRemoved),
        ):
            self._observed.append((target, target.AddObserver(event, handler)))

    def _forget(self) -> None:
        for target, tag in self._observed:
            target.RemoveObserver(tag)
        self._observed.clear()
        self._volume = self.patch = None

    def _place(self) -> None:
        """Put the box around the patch, in the volume's own space and under its transform."""
        patch, toRAS = self.patch, ijkToRAS(self._volume)
        (x, y, normal), size = _frame(toRAS, patch)
        middle = (
            patch.left + (patch.columns - 1) / 2,
            patch.top + (patch.rows - 1) / 2,
            patch.slice + (patch.count - 1) / 2,
        )
        matrix = np.eye(4)
        matrix[:3] = np.column_stack([x, y, normal, (toRAS @ (*middle, 1))[:3]])
        with slicer.util.NodeModify(self.node):
            self.node.SetAndObserveTransformNodeID(self._volume.GetTransformNodeID())
            self.node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
            self.node.SetSize(*size)

    def _move(self, wanted: Patch) -> None:
        """Place the square inside the image; say so where the patch is another one than before."""
        corner = wanted.slice, wanted.top, wanted.left
        before, self.patch = self.patch, Patch.at(self._volume, corner, wanted.shape)
        self._place()
        if self.patch != before:
            self._changed(self.patch)

    def _onDragged(self, caller: Any, event: str) -> None:
        center = [0.0, 0.0, 0.0]
        self.node.GetCenterWorld(center)
        i, j, k = worldToIJK(self._volume, center)
        count, rows, columns = self.patch.shape
        corner = (k - (count - 1) / 2, j - (rows - 1) / 2, i - (columns - 1) / 2)
        first, top, left = (round(float(x)) for x in corner)
        self._move(replace(self.patch, slice=first, top=top, left=left))

    def _onTransformed(self, caller: Any, event: str) -> None:
        if self.node.GetTransformNodeID() != self._volume.GetTransformNodeID():
            self._place()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onRemoved(self, caller: Any, event: str, removed: Any) -> None:
        if removed is self.node:
            self.node = None
        elif removed is not self._volume:
            return
        if self._scene.IsClosing():  # which removes our node too, in its own time
            self.node = None
        self.remove()
        self._changed(None)


def _frame(toRAS: np.ndarray, patch: Patch) -> tuple[np.ndarray, np.ndarray]:
    """Axes of the box (3, 3), orthonormal even where the grid is sheared, and its sizes in mm."""
    i, j, k = toRAS[:3, :3].T
    x = i / np.linalg.norm(i)
    y = j - (j @ x) * x
    y /= np.linalg.norm(y)
    normal = np.cross(x, y)
    size = np.array([patch.columns * (i @ x), patch.rows * (j @ y), patch.count * abs(k @ normal)])
    return np.stack([x, y, normal]), size
