"""A new volume takes its place beside another one: transform, hierarchy, window, colours, units."""

from __future__ import annotations

from typing import Any

import slicer

SOFT_TISSUE = 400.0, 40.0
"""Window and level, HU, where the input has none."""


def placeBeside(node: Any, inputNode: Any, scene: Any = None) -> None:
    """Put a volume in HU under the input's transform and study, and show it as the input is shown.

    Args:
        node: a scalar volume node in the scene.
        inputNode: the volume that it is to lie beside.
        scene: of both; None: the input's.
    """
    scene = scene or inputNode.GetScene()
    node.SetAndObserveTransformNodeID(inputNode.GetTransformNodeID())
    _setUnits(node)
    _showLike(node, inputNode)
    _fileUnder(node, inputNode, scene)


def _setUnits(node: Any) -> None:
    quantity, unit = slicer.vtkCodedEntry(), slicer.vtkCodedEntry()
    quantity.SetValueSchemeMeaning("112031", "DCM", "Attenuation Coefficient")
    unit.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    node.SetVoxelValueQuantity(quantity)
    node.SetVoxelValueUnits(unit)


def _showLike(node: Any, inputNode: Any) -> None:
    model = inputNode.GetScalarVolumeDisplayNode()
    window, level = (model.GetWindow(), model.GetLevel()) if model is not None else SOFT_TISSUE
    if window <= 0:  # a display node that nobody has looked at yet
        window, level = SOFT_TISSUE
    display = node.GetScalarVolumeDisplayNode() or slicer.vtkMRMLScalarVolumeDisplayNode()
    display.SetAutoWindowLevel(False)  # before it sees the image: a histogram of all voxels takes its time
    display.SetWindowLevel(window, level)
    if display.GetScene() is None:
        display.SetDefaultColorMap()
        node.GetScene().AddNode(display)
        node.SetAndObserveDisplayNodeID(display.GetID())
    if model is not None:
        display.SetInterpolate(model.GetInterpolate())
        display.SetAndObserveColorNodeID(model.GetColorNodeID())


def _fileUnder(node: Any, inputNode: Any, scene: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy is None:
        return
    parent = hierarchy.GetItemParent(_itemOf(inputNode, hierarchy))
    hierarchy.SetItemParent(_itemOf(node, hierarchy), parent)


def _itemOf(node: Any, hierarchy: Any) -> int:
    """The node's item; in the application a plugin makes it, elsewhere nobody does."""
    return hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
