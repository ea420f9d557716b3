"""Volumes for the panel: what is refused and how, and results exactly in the place of their input."""

from __future__ import annotations

import time
import types

import numpy as np
import pytest

from CTInvarianceLib.base import VolumeError

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
import mrml  # noqa: E402
from CTInvariancePanel.nodes import Patch, volumes  # noqa: E402
from CTInvariancePanel.steps import runAll  # noqa: E402


def test_a_ct_volume_is_accepted(node):
    volumes.requireCT(node)
    assert volumes.looksLikeCT(node)
    node.SetAttribute("DICOM.Modality", "CT")
    volumes.requireCT(node)


def refused(node, words):
    with pytest.raises(VolumeError, match=words) as caught:
        volumes.requireCT(node)
    assert caught.value.hint


def test_what_is_no_ct_is_refused_in_plain_words(scene):
    refused(None, "no volume is chosen")
    refused(scene.AddNewNodeByClass("vtkMRMLModelNode", "bone"), "no volume: bone")
    refused(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "gone"), "empty: gone")
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "lung")
    slicer.util.updateVolumeFromArray(labels, np.ones((2, 3, 4), np.int16))
    refused(labels, "label map")
    colours = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(colours, np.ones((2, 3, 4, 3), np.uint8))
    refused(colours, "3 values each")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers(node, bad):
    mrml.values(node)[4, 3, 2] = bad
    refused(node, "slice 4 .* NaN or infinite")


def test_values_are_searched_again_once_they_have_changed(node):
    volumes.requireCT(node)
    mrml.values(node)[4, 3, 2] = np.nan
    slicer.util.arrayFromVolumeModified(node)
    refused(node, "slice 4 .* NaN or infinite")
    mrml.values(node)[4, 3, 2] = 0
    slicer.util.arrayFromVolumeModified(node)
    volumes.requireCT(node)


def test_looking_again_where_the_patch_was_moved_costs_next_to_nothing(scene):
    node, took = mrml.volume(scene, shape=(40, 256, 256)), []
    for _ in range(5):
        start = time.thread_time()
        volumes.requireCT(node)
        took.append(time.thread_time() - start)
    assert min(took[1:]) < 0.3 * took[0]


def test_other_modalities_by_attribute_hierarchy_and_database(scene, monkeypatch):
    mr = mrml.volume(scene, name="brain")
    mr.SetAttribute("DICOM.Modality", "MR")
    refused(mr, "modality MR, not CT")
    pet = mrml.volume(scene, name="pet")
    hierarchy = scene.GetSubjectHierarchyNode()
    hierarchy.SetItemAttribute(hierarchy.CreateItem(hierarchy.GetSceneItemID(), pet), "DICOM.Modality", "PT")
    refused(pet, "modality PT, not CT")
    stored = mrml.volume(scene, name="stored")
    stored.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    volumes.requireCT(stored)
    database = types.SimpleNamespace(isOpen=False, instanceValue=lambda uid, tag: {"1.2.3": "MR"}[uid])
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    volumes.requireCT(stored)
    database.isOpen = True
    refused(stored, "modality MR")


@pytest.mark.parametrize(
    ("low", "high", "fine"),
    [(-1024, 3071, True), (-3024, 30_000, True), (-150, 250, True), (0, 9000, False), (0, 255, False)],
)
def test_values_that_are_hardly_hu_only_warn(scene, low, high, fine):
    node = mrml.volume(scene)
    mrml.values(node)[:] = np.linspace(low, high, np.prod(mrml.SHAPE)).reshape(mrml.SHAPE)
    slicer.util.arrayFromVolumeModified(node)
    assert volumes.looksLikeCT(node) is fine
    volumes.requireCT(node)


def test_slices_are_views(node):
    part = volumes.slicesHU(node, 2, 3)
    assert np.shares_memory(part, mrml.values(node))
    np.testing.assert_array_equal(part, mrml.values(node)[2:5])
    assert volumes.slicesHU(node).shape == mrml.SHAPE
    assert len(volumes.slicesHU(node, 5)) == 2
    for wrong in ((-1, 2), (5, 3), (0, 0), (7, None)):
        with pytest.raises(VolumeError, match="slices 0 to 6"):
            volumes.slicesHU(node, *wrong)


def test_geometry_for_the_library_is_lps(node):
    np.testing.assert_allclose(volumes.ijkToRAS(node), mrml.AXIAL, atol=1e-12)
    np.testing.assert_allclose(volumes.affineLPS(node), np.diag([-1, -1, 1, 1]) @ mrml.AXIAL, atol=1e-12)


@pytest.mark.parametrize("kind", mrml.TRANSFORMS)
@pytest.mark.parametrize("geometry", mrml.GEOMETRIES)
def test_voxels_lie_where_those_of_the_input_lie(scene, geometry, kind):
    node = mrml.volume(scene, mrml.GEOMETRIES[geometry])
    above = mrml.transform(scene, kind)
    node.SetAndObserveTransformNodeID(above.GetID() if above else None)
    patch = Patch(2, 7, 9, 20, 16, 3)
    array = mrml.values(node)[2:5, 7:27, 9:25].copy()
    added = runAll(volumes.addVolume(node, array, "part", {}, patch))
    np.testing.assert_array_equal(mrml.values(added), array)
    assert added.GetTransformNodeID() == node.GetTransformNodeID()
    for i, j, k in ((0, 0, 0), (15, 19, 2), (7, 11, 1)):
        there = mrml.world(node, (9 + i, 7 + j, 2 + k))
        np.testing.assert_allclose(mrml.world(added, (i, j, k)), there, atol=1e-6)


def test_added_volume_takes_its_place(scene, node):
    hierarchy = scene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "p"), "s")
    hierarchy.CreateItem(study, node)
    node.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeInvertedGrey")
    added = runAll(volumes.addVolume(node, mrml.values(node) + 1, "denoised", {"denoiser": "yang", "n": 3}))
    display = added.GetScalarVolumeDisplayNode()
    assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (350, 50, 0)
    assert display.GetColorNodeID() == node.GetDisplayNode().GetColorNodeID()
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(added)) == study
    assert added.GetVoxelValueQuantity().GetCodeValue() == "112031"
    assert added.GetVoxelValueUnits().GetCodeValue() == "[hnsf'U]"
    assert volumes.factsOf(added) == {"denoiser": "yang", "n": "3"}
    again = runAll(volumes.addVolume(node, mrml.values(node), "denoised", {}))
    assert again.GetName() != added.GetName() == "denoised"


def test_an_input_without_display_is_shown_as_soft_tissue(scene):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "plain")
    slicer.util.updateVolumeFromArray(node, np.zeros((2, 3, 4), np.int16))
    added = runAll(volumes.addVolume(node, np.zeros((2, 3, 4), np.float32), "x", {}))
    assert (added.GetDisplayNode().GetWindow(), added.GetDisplayNode().GetLevel()) == (400, 40)
    assert node.GetDisplayNode() is None


def test_values_that_do_not_fit(scene, node):
    before = scene.GetNumberOfNodes()
    with pytest.raises(VolumeError, match="do not fit"):
        runAll(volumes.addVolume(node, np.zeros((5, 5), np.float32), "x", {}, Patch(0, 0, 0, 5, 6)))
    assert scene.GetNumberOfNodes() == before


def test_a_large_volume_comes_in_steps_and_a_closed_scene_ends_them(scene):
    node = mrml.volume(scene, shape=(24, 512, 512))
    steps = volumes.addVolume(node, mrml.values(node).copy(), "x", {})
    assert sum(1 for _ in range(5) if next(steps) is None) == 5
    scene.Clear(0)
    with pytest.raises(VolumeError, match=r"removed from the scene meanwhile: head\. Load it again"):
        runAll(steps)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_attributes_hold_text_and_json(scene):
    node = scene.AddNewNodeByClass("vtkMRMLTextNode")
    node.SetAttribute("other", "x")
    volumes.annotate(node, {"layer": "4", "region": [1, 2], "consistency": 0.25, "models": None})
    assert volumes.factsOf(node) == {"layer": "4", "region": "[1, 2]", "consistency": "0.25"}


def test_whoever_watches_a_node_looks_once_at_all_its_facts(node):
    """A slice view reads its volume anew whenever it says that it has changed."""
    seen = []
    node.AddObserver("ModifiedEvent", lambda caller, event: seen.append(len(volumes.factsOf(node))))
    volumes.annotate(node, {f"figure {number}": number / 7 for number in range(20)})
    assert seen == [20]
