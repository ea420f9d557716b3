"""Samples as nodes: in place, in small steps, whole or not at all, and found again in a saved scene."""

from __future__ import annotations

import numpy as np
import pytest

from CTInvarianceLib.base import VolumeError

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
import mrml  # noqa: E402
from CTInvariancePanel.nodes import (  # noqa: E402
    Patch,
    factsOf,
    ijkToRAS,
    samples,
)
from CTInvariancePanel.nodes.colours import evenRamp, stdColours  # noqa: E402
from CTInvariancePanel.nodes.stdmap import showStd  # noqa: E402
from CTInvariancePanel.nodes.volumes import annotate  # noqa: E402
from CTInvariancePanel.steps import runAll  # noqa: E402

PATCH = Patch(2, 7, 9, 16, 20)
FACTS = {
    "program": "CTInvariance 0.1.0",
    "denoiser": "yang",
    "layer": "4",
    "domain": "low",
    "n": 12,
    "seed": 3,
}


def images(n=12, patch=PATCH):
    return np.random.default_rng(0).normal(40, 25, (n, *patch.shape)).astype(np.float32)


def steps(node, array=None, patch=PATCH, facts=FACTS, **others):
    array = images(patch=patch) if array is None else array
    return samples.addSamples(node, patch, array, array.mean(0), array.std(0), facts, **others)


def pieces(result):
    return result.sample, result.mean, result.std, result.denoised


@pytest.mark.parametrize("kind", mrml.TRANSFORMS)
@pytest.mark.parametrize("geometry", mrml.GEOMETRIES)
def test_voxels_lie_where_those_of_the_input_lie(scene, geometry, kind):
    node = mrml.volume(scene, mrml.GEOMETRIES[geometry])
    above = mrml.transform(scene, kind)
    node.SetAndObserveTransformNodeID(above.GetID() if above else None)
    patch = Patch(1, 7, 9, 16, 20, 2)
    array = images(3, patch)
    result = runAll(steps(node, array, patch, denoised=array[0]))
    for number in (0, 2):
        result.browser.SetSelectedItemNumber(number)
        np.testing.assert_array_equal(mrml.values(result.sample), array[number])
        for i, j, k in ((0, 0, 0), (19, 15, 1)):
            there = mrml.world(node, (9 + i, 7 + j, 1 + k))
            for each in pieces(result):
                np.testing.assert_allclose(mrml.world(each, (i, j, k)), there, atol=1e-6)


def test_a_sequence_to_play_with_its_maps(scene, node):
    array = images()
    result = runAll(steps(node, array, denoised=array[0], fullDose=node))
    assert result.sequence.GetIndexName() == "sample"
    assert result.sequence.GetNumberOfDataNodes() == result.browser.GetNumberOfItems() == 12
    assert result.browser.GetPlaybackRateFps() == 10
    for index in range(12):
        np.testing.assert_array_equal(mrml.values(result.sequence.GetNthDataNode(index)), array[index])
    np.testing.assert_array_equal(mrml.values(result.mean), array.mean(0))
    np.testing.assert_array_equal(mrml.values(result.std), array.std(0))
    np.testing.assert_array_equal(mrml.values(result.denoised), array[0])
    assert result.input is result.fullDose is node
    facts = factsOf(result.browser)
    assert facts["layer"] == "4"
    assert facts["seed"] == "3"
    assert facts["volume"] == "head"
    assert Patch.fromFacts(facts) == PATCH
    assert samples.resultsIn(scene) == [result]


def test_scrubbing_keeps_window_name_transform_place_and_facts(scene, node):
    hierarchy = scene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "p"), "s")
    hierarchy.CreateItem(study, node)
    node.SetAndObserveTransformNodeID(mrml.transform(scene, "linear").GetID())
    result = runAll(steps(node))
    display = result.sample.GetScalarVolumeDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (350, 50)
    display.SetWindowLevel(111, 22)
    name = result.sample.GetName()
    for number in (3, 11, 0):
        result.browser.SetSelectedItemNumber(number)
        assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (111, 22, 0)
        assert result.sample.GetName() == name == "Sample · yang layer 4 · head"
        assert result.sample.GetTransformNodeID() == node.GetTransformNodeID()
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(result.sample)) == study
        assert result.sample.GetVoxelValueUnits().GetCodeValue() == "[hnsf'U]"
        assert factsOf(result.sample)["denoiser"] == "yang"


def test_painting_into_the_sample_leaves_the_sequence_alone(node):
    result = runAll(steps(node))
    mrml.values(result.sample)[:] = -1
    slicer.util.arrayFromVolumeModified(result.sample)
    np.testing.assert_array_equal(mrml.values(result.sequence.GetNthDataNode(0)), images()[0])


def test_draws_can_be_told_apart(scene, node):
    other = mrml.volume(scene, name="chest")
    titles = [
        runAll(steps(volume, facts={**FACTS, **facts})).mean.GetName()
        for volume, facts in (
            (node, {}),
            (node, {"layer": "7"}),
            (other, {}),
            (node, {"seed": 8}),
            (node, {"domain": "full"}),
            (node, {"seed": 8}),
            (node, {"tolerance": 0.5}),
            (node, {"tolerance": 0.25}),
            (node, {"tolerance": 1.0, "domain": "full"}),
            (node, {"tolerance": 0.5, "seed": 9}),
        )
    ]
    assert titles == [
        "Mean · yang layer 4 · head",
        "Mean · yang layer 7 · head",
        "Mean · yang layer 4 · chest",
        "Mean · yang layer 4 · slice 2 seed 8 · head",
        "Mean · yang layer 4 full dose · head",
        "Mean · yang layer 4 · slice 2 seed 8 (2) · head",
        "Mean · yang layer 4 τ 0.5 · head",
        "Mean · yang layer 4 τ 0.25 · head",
        "Mean · yang layer 4 full dose τ 1 · head",
        "Mean · yang layer 4 τ 0.5 · slice 2 seed 9 · head",
    ]
    names = [each.GetName() for each in pieces(samples.resultsIn(scene)[0])[:3]]
    assert len(set(names)) == 3


def test_pinned_samples_stay(scene, node):
    node.SetAndObserveTransformNodeID(mrml.transform(scene, "linear").GetID())
    result = runAll(steps(node))
    pinned = samples.pinSample(result, 5)
    result.browser.SetSelectedItemNumber(2)
    np.testing.assert_array_equal(mrml.values(pinned), images()[5])
    np.testing.assert_allclose(mrml.world(pinned, (1, 2, 0)), mrml.world(node, (10, 9, 2)), atol=1e-6)
    assert pinned.GetName() == "#6 · Sample · yang layer 4 · head"
    assert factsOf(pinned)["sample"] == "5"
    for wrong in (-1, 12):
        with pytest.raises(VolumeError, match="samples 0 to 11"):
            samples.pinSample(result, wrong)


def test_no_step_takes_long(node):
    """Milliseconds each; measured against all of them together, on however slow a machine."""
    patch = Patch(0, 0, 0, 40, 52)
    array = images(250, patch)
    took = mrml.step_times(steps(node, array, patch))
    assert len(took) > 250
    assert np.median(took) < 0.01 * sum(took)
    assert np.quantile(took, 0.98) < 0.05 * sum(took)


@pytest.mark.parametrize("way", ["close the scene", "delete the volume", "give up"])
def test_nothing_is_left_half_made(way):
    probe = slicer.vtkMRMLScene()
    total = sum(1 for _ in steps(mrml.volume(probe)))
    for stop in (1, 5, *range(10, total)):
        scene = slicer.vtkMRMLScene()
        node = mrml.volume(scene)
        work = steps(node)
        for _ in range(stop):
            next(work)
        if way == "give up":
            work.close()
        else:
            scene.Clear(0) if way == "close the scene" else scene.RemoveNode(node)
            with pytest.raises(VolumeError, match="removed from the scene"):
                runAll(work)
        left = {scene.GetNthNode(k).GetClassName() for k in range(scene.GetNumberOfNodes())}
        assert not {name for name in left if "Sequence" in name}
        assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == (way == "give up")


def test_values_that_do_not_fit_and_no_samples(scene, node):
    one = images(1)[0]
    for array, words in ((images()[..., :-1], "do not fit"), (images()[:0], "no samples")):
        with pytest.raises(VolumeError, match=words):
            runAll(samples.addSamples(node, PATCH, array, one, one, FACTS))
    assert samples.resultsIn(scene) == []
    assert scene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0


def test_std_has_colours_and_a_window_of_its_own(scene, node):
    array = images()
    first, second = runAll(steps(node, array)), runAll(steps(node, array * 3))
    display = first.std.GetScalarVolumeDisplayNode()
    assert display.GetWindowLevelMin() == 0
    assert display.GetWindowLevelMax() == pytest.approx(np.percentile(array.std(0), 99.5), rel=1e-5)
    assert not display.GetInterpolate()
    assert (
        display.GetColorNodeID() == second.std.GetDisplayNode().GetColorNodeID() == stdColours(scene).GetID()
    )
    showStd(first.std, interpolate=True)
    assert display.GetInterpolate()
    mrml.values(first.std)[:] = 0
    showStd(first.std)
    assert display.GetWindow() == 1


def test_colours_grow_lighter_evenly():
    ramp = evenRamp(256)
    assert ramp.min() >= 0
    assert ramp.max() <= 1
    linear = np.where(ramp <= 0.04045, ramp / 12.92, ((ramp + 0.055) / 1.055) ** 2.4)
    y = linear @ (0.2126729, 0.7151522, 0.0721750)
    lightness = np.where(y > (6 / 29) ** 3, 116 * np.cbrt(y) - 16, y * (29 / 3) ** 3)
    np.testing.assert_allclose(lightness, np.linspace(0, 96, 256), atol=0.1)


def test_a_saved_scene_brings_everything_back(tmp_path):
    scene = slicer.vtkMRMLScene()
    node = mrml.volume(scene, mrml.GEOMETRIES["sheared oblique"])
    node.SetAndObserveTransformNodeID(mrml.transform(scene, "two linear").GetID())
    hierarchy = scene.GetSubjectHierarchyNode()
    study = hierarchy.CreateStudyItem(hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "p"), "study 1")
    hierarchy.CreateItem(study, node)
    full = mrml.volume(scene, name="full dose")
    array = images(250)
    result = runAll(steps(node, array, denoised=array[0], fullDose=full))
    runAll(steps(node, array[:3], facts={**FACTS, "layer": "7"}))
    annotate(result.browser, {"R": 0.07})
    result.sample.GetDisplayNode().SetWindowLevel(123, 45)
    path = str(tmp_path / "männlich 1.mrb")
    assert scene.WriteToMRB(path)

    opened = reopen(path, tmp_path)
    again, other = samples.resultsIn(opened)
    assert factsOf(again.browser) == factsOf(result.browser)
    assert factsOf(other.browser)["layer"] == "7"
    assert again.sequence.GetNumberOfDataNodes() == 250
    for index in range(250):
        np.testing.assert_array_equal(mrml.values(again.sequence.GetNthDataNode(index)), array[index])
    assert again.fullDose.GetName() == "full dose"
    tree = opened.GetSubjectHierarchyNode()
    for old, new in zip((*pieces(result), node), (*pieces(again), again.input), strict=True):
        assert new.GetName() == old.GetName()
        assert factsOf(new) == factsOf(old)
        np.testing.assert_array_equal(mrml.values(new), mrml.values(old))
        np.testing.assert_allclose(ijkToRAS(new), ijkToRAS(old), atol=1e-9)
        np.testing.assert_allclose(mrml.world(new, (3, 4, 0)), mrml.world(old, (3, 4, 0)), atol=1e-4)
        for get in ("GetWindow", "GetLevel", "GetInterpolate"):
            assert getattr(new.GetDisplayNode(), get)() == pytest.approx(
                getattr(old.GetDisplayNode(), get)(), rel=1e-5
            )
        assert tree.GetItemName(tree.GetItemParent(tree.GetItemByDataNode(new))) == "study 1"
    assert again.std.GetDisplayNode().GetColorNode() is stdColours(opened)
    assert again.mean.GetVoxelValueQuantity().GetCodeValue() == "112031"
    again.browser.SetSelectedItemNumber(9)
    np.testing.assert_array_equal(mrml.values(again.sample), array[9])
    assert again.sample.GetDisplayNode().GetWindow() == 123
    there = mrml.world(again.input, (12, 11, 2))
    for each in pieces(again):
        np.testing.assert_allclose(mrml.world(each, (3, 4, 0)), there, atol=1e-6)


def reopen(path, folder):
    """A scene as Slicer would open it: with its logic for sequences, and a folder to unpack to."""
    scene = slicer.vtkMRMLScene()
    scene.logic = slicer.vtkSlicerSequencesLogic()
    scene.logic.SetMRMLScene(scene)
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(str(folder))
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    assert scene.ReadFromMRB(path)
    return scene


def test_incomplete_draws_are_left_out(scene, node):
    first, second = runAll(steps(node)), runAll(steps(node))
    scene.RemoveNode(first.std)
    assert samples.resultsIn(scene) == [second]
    scene.RemoveNode(node)
    (left,) = samples.resultsIn(scene)
    assert left.input is None


def shortened(name: str) -> str:
    """As Slicer's corner annotations in a narrow view: seven letters of both ends."""
    return name if len(name) <= 17 else f"{name[:7]}...{name[-7:]}"


def test_shortened_in_the_middle_names_still_tell_the_parts_of_a_draw(scene):
    node = mrml.volume(scene, name="25% dose · 3: ,CE,Axial,3.0,,WITH CE,_1")
    result = runAll(steps(node, denoised=images()[0], facts={**FACTS, "tolerance": 0.5}))
    pinned = [samples.pinSample(result, index) for index in (0, 8)]
    loaded = [shortened(each.GetName()) for each in (*pieces(result), *pinned, node)]
    assert len(set(loaded)) == len(loaded)
    for name, start in zip(loaded, ("Sample", "Mean", "Std", "Denoise", "#1 ", "#9 ", "25%"), strict=True):
        assert name.startswith(start)
