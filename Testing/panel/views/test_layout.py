"""The compare layout: own views, own volumes, linked, face on, and back to what was there before."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
import mrml  # noqa: E402
from CTInvariancePanel.nodes import Patch, addSamples  # noqa: E402
from CTInvariancePanel.steps import runAll  # noqa: E402
from CTInvariancePanel.views import layout  # noqa: E402

PATCH = Patch(3, 10, 12, 16, 20)
ALL = tuple(layout.VIEWS)


@pytest.fixture
def scene():
    scene = slicer.vtkMRMLScene()
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    scene.layoutLogic = slicer.vtkMRMLLayoutLogic()
    scene.layoutLogic.SetMRMLScene(scene)
    return scene


def layoutOf(scene):
    return scene.layoutLogic.GetLayoutNode()


def draw(node, *, denoised=True, fullDose=None):
    array = np.random.default_rng(0).normal(40, 25, (4, 1, 16, 20)).astype(np.float32)
    denoised = array[0] if denoised else None
    facts = {"denoiser": "yang", "layer": "4"}
    steps = addSamples(
        node, PATCH, array, array[0], array.std(0), facts, denoised=denoised, fullDose=fullDose
    )
    return runAll(steps)


def views(scene, roles=ALL):
    tags = [layout.VIEWS[role].tag for role in roles]
    return [scene.GetSingletonNode(tag, "vtkMRMLSliceNode") for tag in tags]


def composites(scene, roles=ALL):
    tags = [layout.VIEWS[role].tag for role in roles]
    return {
        role: scene.GetSingletonNode(tag, "vtkMRMLSliceCompositeNode")
        for role, tag in zip(roles, tags, strict=True)
    }


def visible(scene):
    """Slice views that the layout maps at present."""
    shown = scene.layoutLogic.GetViewNodes()
    return {shown.GetItemAsObject(k).GetLayoutName() for k in range(shown.GetNumberOfItems())}


@pytest.mark.parametrize(
    ("denoised", "full", "roles"),
    [
        (True, True, ALL),
        (True, False, ("input", "denoised", "sample", "mean", "std")),
        (False, False, ("input", "sample", "mean", "std")),
    ],
)
def test_views_for_what_there_is(scene, denoised, full, roles):
    node = mrml.volume(scene)
    result = draw(node, denoised=denoised, fullDose=mrml.volume(scene, name="full") if full else None)
    layout.showCompare(layoutOf(scene), result)
    assert layout.isComparing(layoutOf(scene))
    assert layoutOf(scene).GetViewArrangement() > 100
    assert visible(scene) == {layout.VIEWS[role].tag for role in roles}
    for role, composite in composites(scene, roles).items():
        assert composite.GetBackgroundVolumeID() == getattr(result, role).GetID()
        assert composite.GetLinkedControl()
        assert composite.GetHotLinkedControl()
        assert not composite.GetDoPropagateVolumeSelection()
    labels = [view.GetLayoutLabel() for view in views(scene, roles)]
    assert len(set(labels)) == len(labels)
    assert len({view.GetViewGroup() for view in views(scene, roles)}) == 1


def test_same_window_but_for_the_spread(scene):
    node = mrml.volume(scene)
    result = draw(node, fullDose=mrml.volume(scene, name="full"))
    node.GetDisplayNode().SetWindowLevel(77, 11)
    spread = result.std.GetDisplayNode().GetWindow()
    layout.showCompare(layoutOf(scene), result)
    for role in ("denoised", "fullDose", "sample", "mean"):
        display = getattr(result, role).GetDisplayNode()
        assert (display.GetWindow(), display.GetLevel()) == (77, 11)
    assert result.std.GetDisplayNode().GetWindow() == spread


def test_who_changes_one_window_changes_all_until_the_end(scene):
    node = mrml.volume(scene)
    first, second = draw(node), draw(mrml.volume(scene, name="chest"))

    def window(each):
        return each.GetDisplayNode().GetWindow(), each.GetDisplayNode().GetLevel()

    layout.showCompare(layoutOf(scene), first)
    first.sample.GetDisplayNode().SetWindowLevel(800, -600)
    assert window(node) == window(first.mean) == window(first.denoised) == (800, -600)
    first.browser.SetSelectedItemNumber(2)
    assert window(first.sample) == (800, -600)
    layout.showCompare(layoutOf(scene), second)
    second.input.GetDisplayNode().SetWindow(99)
    assert window(second.mean) == (99, 50)
    assert window(node) == (800, -600)
    layout.leaveCompare(layoutOf(scene))
    second.sample.GetDisplayNode().SetWindow(5)
    assert window(second.mean) == (99, 50)


@pytest.mark.parametrize("kind", ["none", "linear", "grid"])
@pytest.mark.parametrize("geometry", mrml.GEOMETRIES)
def test_face_on_and_fitted_to_the_patch(scene, geometry, kind):
    node = mrml.volume(scene, mrml.GEOMETRIES[geometry])
    above = mrml.transform(scene, kind)
    node.SetAndObserveTransformNodeID(above.GetID() if above else None)
    layout.showCompare(layoutOf(scene), draw(node))
    corners = PATCH.corners(node)
    for view in views(scene, ("input", "sample", "std")):
        toRAS = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())
        inView = (corners - toRAS[:3, 3]) @ toRAS[:3, :3]
        assert np.abs(inView[:, 2]).max() < (1e-6 if kind != "grid" else 1)  # flat in the view
        np.testing.assert_allclose(toRAS[:3, :3].T @ toRAS[:3, :3], np.eye(3), atol=1e-9)
        field = np.array(view.GetFieldOfView()[:2])
        fills = np.ptp(inView[:, :2], axis=0) / field
        assert 0.8 < fills.max() <= 1
        if kind != "grid":
            edges = np.abs(np.diff(inView[:, :2], axis=0) / np.ptp(inView[:, :2]))
            assert (edges.min(axis=1) < 1e-6).all()  # rows and columns run along the screen


@pytest.mark.parametrize("geometry", ["axial", "flipped i", "flipped j", "flipped k", "sheared"])
def test_axial_scans_look_as_doctors_expect(scene, geometry):
    node = mrml.volume(scene, mrml.GEOMETRIES[geometry])
    layout.showCompare(layoutOf(scene), draw(node))
    (view,) = views(scene, ("sample",))
    toRAS = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())
    np.testing.assert_allclose(toRAS[:3, 0], (-1, 0, 0), atol=1e-9)  # the patient's left on the right
    np.testing.assert_allclose(toRAS[:3, 1], (0, 1, 0), atol=1e-9)  # front up
    if geometry != "sheared":
        assert view.GetOrientation() == "Axial"


def test_overlay_of_the_spread(scene):
    result = draw(mrml.volume(scene))
    layout.showCompare(layoutOf(scene), result)
    layout.setStdOverlay(0.4, scene)
    nodes = composites(scene)
    for role in ("input", "denoised"):
        assert nodes[role].GetForegroundVolumeID() == result.std.GetID()
        assert nodes[role].GetForegroundOpacity() == pytest.approx(0.4)
    for role in ("sample", "mean", "std"):
        assert nodes[role].GetForegroundVolumeID() is None


def test_other_views_are_left_alone_and_come_back(scene):
    node, own = mrml.volume(scene), layoutOf(scene)
    own.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    red = slicer.vtkMRMLSliceCompositeNode()
    red.SetLayoutName("Red")
    red.SetSingletonTag("Red")
    red = scene.AddNode(red)
    red.SetBackgroundVolumeID(node.GetID())
    first, second = draw(node), draw(mrml.volume(scene, name="chest"), denoised=False)
    layout.leaveCompare(own)
    layout.showCompare(own, first)
    layout.showCompare(own, second)
    assert red.GetBackgroundVolumeID() == node.GetID()
    assert not red.GetLinkedControl()
    layout.leaveCompare(own)
    assert own.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    assert not layout.isComparing(own)


SIZES = [(338, 393), (480, 440), (900, 300), (120, 160)]


def resize(roles, size, uneven=0):
    """What windows do to views: one after the other, not quite alike."""
    manager = slicer.app.layoutManager()
    for number, role in enumerate(roles):
        logic = manager.sliceWidget(layout.VIEWS[role].tag).sliceLogic()
        logic.ResizeSliceNode(size[0] + uneven * (number % 2), size[1] - uneven * (number // 3))


def zooms(scene, roles):
    """Millimetres per pixel of the views, across and upward."""
    found = [
        field / side
        for view in views(scene, roles)
        for field, side in zip(view.GetFieldOfView()[:2], view.GetDimensions()[:2], strict=True)
    ]
    return np.array(found)


ROLES = ("input", "denoised", "sample", "mean", "std")


@pytest.fixture
def compared(bench):
    """The layout and scene of an application in which a draw of 20 by 16 mm is compared."""
    scene = slicer.mrmlScene
    own = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    layout.showCompare(own, draw(mrml.volume(scene, np.diag([-1.0, -1, 3, 1]))))
    yield own, scene
    layout.leaveCompare(own)


@pytest.mark.parametrize("size", SIZES)
def test_one_zoom_for_all_whatever_sizes_come_later(compared, size):
    _, scene = compared
    resize(ROLES, size, uneven=1)
    found = zooms(scene, ROLES)
    np.testing.assert_allclose(found, found[0], rtol=1e-6)
    filled = np.array([20, 16]) / found[0] / size  # 1 mm a pixel
    assert 0.45 < filled.max() <= 1


@pytest.mark.parametrize("by", ["zoomed", "moved"])
def test_who_zooms_or_moves_is_left_alone(compared, by):
    _, scene = compared
    (view,) = views(scene, ("sample",))
    resize(ROLES, (338, 393))
    {
        "zoomed": lambda: view.SetFieldOfView(5, 5 * 393 / 338, 1),
        "moved": lambda: view.SetXYZOrigin(4, 3, 0),
    }[by]()
    before = view.GetFieldOfView(), view.GetXYZOrigin(), zooms(scene, ("mean",))
    resize(("std",), (200, 200))
    assert (view.GetFieldOfView(), view.GetXYZOrigin()) == before[:2]
    np.testing.assert_array_equal(zooms(scene, ("mean",)), before[2])


def test_scrolling_through_slices_is_no_zooming(compared):
    _, scene = compared
    resize(ROLES, (338, 393))
    offsets = []
    for view in views(scene, ROLES):
        view.SetSliceOffset(view.GetSliceOffset() + 6)
        offsets.append(view.GetSliceOffset())
    resize(ROLES, (500, 500))
    np.testing.assert_allclose(zooms(scene, ROLES), zooms(scene, ROLES)[0], rtol=1e-6)
    assert zooms(scene, ROLES)[0] == pytest.approx(1.1 * 20 / 500)
    assert [view.GetSliceOffset() for view in views(scene, ROLES)] == pytest.approx(offsets)


def test_a_view_that_fills_the_window_is_filled(compared):
    own, scene = compared
    resize(ROLES, (300, 300))
    (view,) = views(scene, ("mean",))
    own.AddMaximizedViewNode(view)
    resize(("mean",), (900, 700))
    assert 16 / zooms(scene, ("mean",))[0] > 0.7 * 700
    own.RemoveMaximizedViewNode(view)
    resize(("mean",), (300, 300))
    np.testing.assert_allclose(zooms(scene, ROLES), zooms(scene, ROLES)[0], rtol=1e-6)


def test_bars_name_the_views_as_far_as_there_is_room(compared):
    _, scene = compared
    for width, longest in ((338, 2), (700, 12), (338, 2)):
        resize(ROLES, (width, 400))
        labels = [view.GetLayoutLabel() for view in views(scene, ROLES)]
        assert len(set(labels)) == len(ROLES)
        assert max(map(len, labels)) <= longest
        if width == 700:
            assert labels == ["Low dose", "Denoised", "Sample", "Mean", "Std"]
    assert [view.GetName() for view in views(scene, ROLES)][:2] == ["Low dose", "Denoised"]
    letters = {view.letters for view in layout.VIEWS.values()}
    assert len(letters - {"R", "G", "Y"}) == len(layout.VIEWS), "Slicer's own views have these"


def test_the_patch_is_dragged_in_the_view_of_the_input_alone(compared):
    own, scene = compared
    (view,) = views(scene, ("input",))
    assert layout.viewsOfPatch(own) == [view.GetID()]
    layout.leaveCompare(own)
    assert layout.viewsOfPatch(own) == []


@pytest.mark.parametrize("size", SIZES)
def test_the_legend_keeps_to_the_margin_of_its_view(compared, size):
    _, scene = compared
    legend = scene.GetFirstNodeByClass("vtkMRMLColorLegendDisplayNode")
    resize(ROLES, size)
    (view,) = views(scene, ("std",))
    assert legend.GetViewNodeIDs() == (view.GetID(),)
    assert legend.GetOrientation() == legend.Horizontal
    height = legend.GetSize()[0] * size[1]
    toRAS = slicer.util.arrayFromVTKMatrix(view.GetSliceToRAS())
    spread = slicer.util.getNode("Std · yang layer 4 · head")
    middle = Patch.wholeSlice(spread, 0).corners(spread).mean(axis=0)
    field, lowered = view.GetFieldOfView()[1], (toRAS[:3, 3] - middle) @ toRAS[:3, 1]
    above, below = (
        (field - 16) / 2 + side * lowered for side in (1, -1)
    )  # free, mm; the image is 16 mm high
    assert legend.GetPosition()[1] == 1.0  # at the upper end
    assert 12 <= height <= above * size[1] / field
    assert below >= -1e-9
    assert legend.GetSize()[1] <= 1
    assert "HU" in legend.GetLabelFormat()


def test_a_volume_is_shown_in_the_views_of_others(compared):
    own, scene = compared
    before = {role: node.GetBackgroundVolumeID() for role, node in composites(scene, ROLES).items()}
    volume = mrml.volume(scene, name="chest")
    layout.showVolume(volume)
    assert not layout.isComparing(own)
    assert before == {role: node.GetBackgroundVolumeID() for role, node in composites(scene, ROLES).items()}
    red = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    assert red.GetBackgroundLayer().GetVolumeNode() is volume


def test_zoom_and_slice_stay_where_another_volume_on_the_same_grid_comes(bench):
    red = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    layout.showVolume(mrml.volume(slicer.mrmlScene))
    red.GetSliceNode().SetFieldOfView(7, 7, 1)
    red.SetSliceOffset(red.GetSliceOffset() + 6)
    chosen = red.GetSliceNode().GetFieldOfView()[:2], red.GetSliceOffset()
    layout.showVolume(mrml.volume(slicer.mrmlScene, name="low dose"))
    assert (red.GetSliceNode().GetFieldOfView()[:2], red.GetSliceOffset()) == chosen
    layout.showVolume(mrml.volume(slicer.mrmlScene, np.diag([-2.0, -2, 3, 1]), "other"))
    assert red.GetSliceNode().GetFieldOfView()[0] > 52  # mm: the whole of it
