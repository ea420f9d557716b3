"""Proposals give way to samples: the same nodes with other values, a little at a time."""

from __future__ import annotations

import numpy as np
import pytest

from CTInvarianceLib.base import VolumeError

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
import mrml  # noqa: E402
from CTInvariancePanel.nodes import (  # noqa: E402
    Patch,
    acceptSamples,
    addSamples,
    factsOf,
    replaceSamples,
)
from CTInvariancePanel.nodes.samples import pinSample  # noqa: E402
from CTInvariancePanel.steps import runAll  # noqa: E402

N = 12
FACTS = {"denoiser": "yang", "layer": "4", "domain": "low", "n": N, "tolerance": 0.5, "proposed": True}


def images(seed, spread, patch):
    return np.random.default_rng(seed).normal(40, spread, (N, *patch.shape)).astype(np.float32)


@pytest.fixture(params=[1, 2], ids=["a slice", "a slab"])
def patch(request):
    return Patch(1, 7, 9, 16, 20, request.param)


@pytest.fixture
def proposals(node, patch):
    array = images(0, 30, patch)
    return runAll(
        addSamples(node, patch, array, array.mean(0), array.std(0), FACTS, denoised=array[0], fullDose=node)
    )


def replace(nodes, array):
    return replaceSamples(nodes, array, array.mean(0), array.std(0))


def marked(nodes):
    every = [nodes.sequence.GetNthDataNode(k) for k in range(N)]
    every += [nodes.sequence, nodes.browser, nodes.sample, nodes.mean, nodes.std]
    return ["proposed" in factsOf(each) for each in every]


def test_the_same_nodes_get_the_corrected_values(scene, proposals, patch):
    nodes, array = proposals, images(1, 10, patch)
    before = [scene.GetNthNode(k).GetID() for k in range(scene.GetNumberOfNodes())]
    items = [nodes.sequence.GetNthDataNode(k) for k in range(N)]
    nodes.browser.SetSelectedItemNumber(5)
    denoised = mrml.values(nodes.denoised).copy()
    runAll(replace(nodes, array))
    assert [scene.GetNthNode(k).GetID() for k in range(scene.GetNumberOfNodes())] == before
    for k in range(N):
        assert nodes.sequence.GetNthDataNode(k) is items[k]
        np.testing.assert_array_equal(mrml.values(items[k]), array[k])
    np.testing.assert_array_equal(mrml.values(nodes.mean), array.mean(0))
    np.testing.assert_array_equal(mrml.values(nodes.std), array.std(0))
    np.testing.assert_array_equal(mrml.values(nodes.sample), array[5])  # the one that is seen at once
    np.testing.assert_array_equal(mrml.values(nodes.denoised), denoised)
    for k in (2, 0):
        nodes.browser.SetSelectedItemNumber(k)
        np.testing.assert_array_equal(mrml.values(nodes.sample), array[k])


def test_display_names_and_places_stay(proposals, patch):
    nodes = proposals
    nodes.std.GetDisplayNode().SetInterpolate(True)
    for node, window in ((nodes.sample, (111, 22)), (nodes.mean, (222, 33))):
        node.GetDisplayNode().SetWindowLevel(*window)
    kept = [nodes.sample, nodes.mean, nodes.std]

    def state():
        return [
            (
                node.GetName(),
                node.GetDisplayNode().GetID(),
                node.GetDisplayNode().GetColorNodeID(),
                node.GetDisplayNode().GetInterpolate(),
                *mrml.world(node, (3, 4, 0)),
            )
            for node in kept
        ]

    before = state()
    runAll(replace(nodes, images(1, 10, patch)))
    assert state() == before
    for node, window in ((nodes.sample, (111, 22)), (nodes.mean, (222, 33))):
        display = node.GetDisplayNode()
        assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (*window, 0)


def test_colours_of_the_spread_follow_it_unless_somebody_has_chosen(proposals, patch):
    display = proposals.std.GetDisplayNode()
    array = images(1, 10, patch)
    runAll(replace(proposals, array))
    assert display.GetWindowLevelMax() == pytest.approx(np.percentile(array.std(0), 99.5), rel=1e-5)
    display.SetWindowLevelMinMax(2, 7)
    runAll(replace(proposals, images(2, 5, patch)))
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (2, 7)


def test_a_single_slice_may_come_without_its_axis(proposals, patch):
    array = images(1, 10, patch)
    if patch.count == 1:
        runAll(replace(proposals, array[:, 0]))
        np.testing.assert_array_equal(mrml.values(proposals.sequence.GetNthDataNode(3)), array[3])
    else:
        with pytest.raises(VolumeError, match="do not fit"):
            runAll(replace(proposals, array[:, 0]))


def test_values_that_do_not_fit_change_nothing(proposals, patch):
    array, before = images(1, 10, patch), images(0, 30, patch)
    for wrong, words in ((array[:-1], "do not replace"), (array[..., :-1], "do not fit")):
        with pytest.raises(VolumeError, match=words):
            runAll(replace(proposals, wrong))
        for k in range(N):
            np.testing.assert_array_equal(mrml.values(proposals.sequence.GetNthDataNode(k)), before[k])
        np.testing.assert_array_equal(mrml.values(proposals.mean), before.mean(0))


def test_the_mark_is_on_all_of_them_until_they_are_accepted(proposals, patch):
    assert all(marked(proposals))
    runAll(replace(proposals, images(1, 10, patch)))
    assert all(marked(proposals))  # replaced is one thing, accepted another
    runAll(acceptSamples(proposals))
    assert not any(marked(proposals))
    proposals.browser.SetSelectedItemNumber(7)
    assert not any(marked(proposals))
    assert factsOf(proposals.sample)["layer"] == "4"


def test_a_pinned_proposal_stays_what_it_is(proposals, patch):
    pinned = pinSample(proposals, 3)
    before = mrml.values(pinned).copy()
    runAll(replace(proposals, images(1, 10, patch)))
    runAll(acceptSamples(proposals))
    np.testing.assert_array_equal(mrml.values(pinned), before)
    assert factsOf(pinned)["proposed"] == "true"


def test_draws_that_have_left_the_scene_do_no_harm(scene, proposals, patch):
    scene.Clear(0)
    array = images(1, 10, patch)
    runAll(replace(proposals, array))
    runAll(acceptSamples(proposals))
    assert scene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0


def test_no_step_takes_long(node):
    """Milliseconds each; measured against all of them together, on however slow a machine."""
    patch = Patch(0, 0, 0, 40, 52)
    rng = np.random.default_rng(0)
    first, second = (rng.normal(40, 25, (250, *patch.shape)).astype(np.float32) for _ in range(2))
    nodes = runAll(addSamples(node, patch, first, first.mean(0), first.std(0), FACTS))
    took = mrml.step_times(replace(nodes, second))
    assert len(took) > 250
    assert np.median(took) < 0.02 * sum(took)
