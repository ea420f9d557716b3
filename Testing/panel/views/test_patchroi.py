"""The draggable square keeps its size, lies on whole voxels and inside the image, and goes with its volume."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
import mrml  # noqa: E402
from CTInvariancePanel.nodes import Patch  # noqa: E402
from CTInvariancePanel.views import PatchROI  # noqa: E402

PATCH = Patch(3, 10, 12, 16, 20)


@pytest.fixture
def heard():
    return []


@pytest.fixture
def roi(scene, heard):
    roi = PatchROI(scene, heard.append)
    yield roi
    roi.remove()


def drag(roi, world):
    """As a mouse would."""
    roi.node.SetCenterWorld(*world)
    roi.node.InvokeEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)


def middle(patch):
    return patch.left + (patch.columns - 1) / 2, patch.top + (patch.rows - 1) / 2, patch.slice


def centre(roi):
    world = [0.0, 0.0, 0.0]
    roi.node.GetCenterWorld(world)
    return np.array(world)


@pytest.mark.parametrize("kind", mrml.TRANSFORMS)
@pytest.mark.parametrize("geometry", mrml.GEOMETRIES)
def test_square_around_the_patch_and_snapped_where_it_is_dragged(scene, roi, heard, geometry, kind):
    node = mrml.volume(scene, mrml.GEOMETRIES[geometry])
    above = mrml.transform(scene, kind)
    node.SetAndObserveTransformNodeID(above.GetID() if above else None)
    roi.show(node, PATCH)
    np.testing.assert_allclose(
        centre(roi), mrml.world(node, middle(PATCH)), atol=5e-3
    )  # float32, warps inverted
    moved = Patch(5, 14, 9, 16, 20)
    i, j, k = middle(moved)
    drag(roi, mrml.world(node, (i + 0.3, j - 0.3, k + 0.3)))
    assert heard == [moved]
    assert roi.patch == moved
    np.testing.assert_allclose(centre(roi), mrml.world(node, middle(moved)), atol=5e-3)
    drag(roi, mrml.world(node, middle(moved)))
    assert heard == [moved]


@pytest.mark.parametrize("geometry", mrml.GEOMETRIES)
def test_box_is_as_large_as_the_patch_and_lies_in_its_slice(scene, roi, geometry):
    node = mrml.volume(scene, mrml.GEOMETRIES[geometry])
    roi.show(node, PATCH)
    box = slicer.util.arrayFromVTKMatrix(roi.node.GetObjectToWorldMatrix())
    size = np.array(roi.node.GetSize())
    for corner, (i, j) in zip(PATCH.corners(node), ((-1, -1), (1, -1), (1, 1), (-1, 1)), strict=True):
        np.testing.assert_allclose((box @ (*(size / 2 * (i, j, 0)), 1))[:3], corner, atol=1e-4)
    apart = mrml.world(node, (0, 0, 1)) - mrml.world(node, (0, 0, 0))
    assert size[2] == pytest.approx(abs(apart @ box[:3, 2]))


def test_dragged_out_of_the_image_it_stops_at_the_border(node, roi, heard):
    roi.show(node, PATCH)
    drag(roi, mrml.world(node, (-500, 900, 77)))
    assert heard == [Patch(6, 24, 0, 16, 20)]
    assert heard[0].shifted
    drag(roi, mrml.world(node, (900, -500, -77)))
    assert heard[1:] == [Patch(0, 0, 32, 16, 20)]


def test_it_can_be_moved_but_neither_turned_nor_resized(node, roi):
    roi.show(node, PATCH)
    display = roi.node.GetDisplayNode()
    assert display.GetTranslationHandleVisibility()
    assert not display.GetRotationHandleVisibility()
    assert not display.GetScaleHandleVisibility()
    roi.node.SetSize(3, 200, 1)  # in the Markups module
    drag(roi, mrml.world(node, middle(PATCH)))
    np.testing.assert_allclose(roi.node.GetSize(), (14, 11.2, 3))


def test_it_follows_slices_and_transforms(scene, node, roi, heard):
    roi.show(node, PATCH)
    roi.moveToSlice(5)
    assert heard == [Patch(5, 10, 12, 16, 20)]
    roi.moveToSlice(99)
    assert heard[-1].slice == 6
    roi.moveToSlice(99)
    assert len(heard) == 2
    node.SetAndObserveTransformNodeID(mrml.transform(scene, "linear").GetID())
    np.testing.assert_allclose(centre(roi), mrml.world(node, middle(heard[-1])), atol=1e-4)


def test_hidden_and_shown_again_it_is_the_same(scene, node, roi):
    roi.show(node, PATCH)
    square = roi.node
    roi.hide()
    assert not square.GetDisplayVisibility()
    roi.show(node, Patch(1, 0, 0, 8, 8))
    assert square.GetDisplayVisibility()
    roi.show(mrml.volume(scene), PATCH)
    assert roi.node is square
    assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode") == 1


def test_removed_it_leaves_nothing_and_hears_nothing(scene, node, roi, heard):
    roi.show(node, PATCH)
    square = roi.node
    roi.remove()
    roi.remove()
    roi.hide()
    roi.moveToSlice(2)
    square.InvokeEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)
    scene.Clear(0)
    assert heard == []
    assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode") == 0


@pytest.mark.parametrize("gone", ["square", "volume", "scene"])
def test_what_is_deleted_is_heard_once_and_it_can_be_shown_again(scene, node, roi, heard, gone):
    roi.show(node, PATCH)
    if gone == "scene":
        scene.Clear(0)
    else:
        scene.RemoveNode(roi.node if gone == "square" else node)
    assert heard == [None]
    assert roi.node is roi.patch is None
    assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode") == 0
    other = node if gone == "square" else mrml.volume(scene)
    roi.show(other, PATCH)
    drag(roi, mrml.world(other, middle(Patch(1, 2, 3, 16, 20))))
    assert heard == [None, Patch(1, 2, 3, 16, 20)]


def test_other_nodes_that_go_do_not_matter(scene, node, roi, heard):
    other = mrml.volume(scene)
    roi.show(node, PATCH)
    scene.RemoveNode(other)
    assert heard == []
    assert roi.patch == PATCH


def test_it_is_not_saved_with_the_scene(node, roi):
    roi.show(node, PATCH)
    assert not roi.node.GetSaveWithScene()
    assert not roi.node.GetDisplayNode().GetSaveWithScene()


def test_it_is_shown_where_it_helps(scene, node, roi):
    roi.showIn(["vtkMRMLSliceNodeRed"])
    roi.show(node, PATCH)
    display = roi.node.GetDisplayNode()
    assert display.GetViewNodeIDs() == ("vtkMRMLSliceNodeRed",)
    roi.showIn([])
    assert display.GetViewNodeIDs() == ()
    assert display.GetInteractionHandleScale() <= 1.5, "a handle of Slicer's size hides what is looked at"
