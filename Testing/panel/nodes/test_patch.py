"""A patch lies where it is asked for, whatever the volume's grid and whatever transforms lie above it."""

from __future__ import annotations

import numpy as np
import pytest

from CTInvarianceLib.base import VolumeError

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
import mrml  # noqa: E402
from CTInvariancePanel.nodes import Patch, worldToIJK  # noqa: E402


@pytest.mark.parametrize("kind", mrml.TRANSFORMS)
@pytest.mark.parametrize("geometry", mrml.GEOMETRIES)
def test_around_a_point_of_the_world(scene, geometry, kind):
    node = mrml.volume(scene, mrml.GEOMETRIES[geometry])
    above = mrml.transform(scene, kind)
    node.SetAndObserveTransformNodeID(above.GetID() if above else None)
    i, j, k = 20, 17, 5
    patch = Patch.around(node, mrml.world(node, (i + 0.3, j - 0.3, k + 0.2)), 16, 12)
    assert patch == Patch(k, j - 8, i - 6, 16, 12)
    assert not patch.shifted
    np.testing.assert_allclose(patch.center(node), mrml.world(node, (i, j, k)), atol=1e-6)
    assert Patch.around(node, patch.center(node), 16, 12) == patch
    edge = mrml.world(node, (patch.left - 0.5, patch.top + 15.5, k))
    np.testing.assert_allclose(patch.corners(node)[3], edge, atol=1e-6)
    np.testing.assert_allclose(worldToIJK(node, mrml.world(node, (3, 4, 5))), (3, 4, 5), atol=1e-2)


def test_the_middle_where_no_point_is_given(node):
    assert Patch.around(node, None, 10, 11) == Patch(3, 15, 21, 10, 11)


def test_moved_inside_at_the_border(node):
    patch = Patch.around(node, mrml.world(node, (1, 38, 6)), 16, 12)
    assert patch == Patch(6, 24, 0, 16, 12)
    assert patch.shifted


def test_several_slices_around_a_point(node):
    assert Patch.around(node, mrml.world(node, (20, 20, 3)), 8, 8, 3) == Patch(2, 16, 16, 8, 8, 3)
    assert Patch.around(node, mrml.world(node, (20, 20, 0)), 8, 8, 3) == Patch(0, 16, 16, 8, 8, 3)


def test_outside_the_volume(node):
    with pytest.raises(VolumeError, match=r"outside the volume: head\. Choose a point inside"):
        Patch.around(node, mrml.world(node, (-2, 5, 3)), 8, 8)


def test_volume_smaller_than_the_patch(node):
    smaller = r"the slices of 40×52 voxels are smaller than the patch of 64×32: head\. Choose a smaller patch"
    with pytest.raises(VolumeError, match=smaller):
        Patch.around(node, None, 64, 32)
    with pytest.raises(VolumeError, match="40×52 voxels in 7 slices is smaller than the patch of 32×32 in 9"):
        Patch.around(node, None, 32, 32, 9)
    assert Patch.around(node, None, 64, 32, flexible=True) == Patch(3, 0, 10, 40, 32)


@pytest.mark.parametrize("sides", [(0, 4, 1), (4, -1, 1), (4, 4, 0)])
def test_empty(node, sides):
    with pytest.raises(VolumeError, match="empty"):
        Patch.around(node, None, *sides)


def test_whole_slice(node):
    patch = Patch.wholeSlice(node, 6)
    assert patch == Patch(6, 0, 0, 40, 52)
    assert patch.shape == (1, 40, 52)
    with pytest.raises(VolumeError, match="slices 0 to 6"):
        Patch.wholeSlice(node, 6, 2)


def test_facts_and_back(scene):
    from CTInvariancePanel.nodes import factsOf
    from CTInvariancePanel.nodes.volumes import annotate

    node, patch = scene.AddNewNodeByClass("vtkMRMLTextNode"), Patch(2, 3, 4, 5, 6, 2)
    annotate(node, patch.facts)
    assert Patch.fromFacts(factsOf(node)) == patch
    assert factsOf(node)["slice"] == "2"
    assert Patch.fromFacts({}) is None
