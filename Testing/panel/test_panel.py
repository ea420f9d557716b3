"""The panel as people use it: real widgets clicked, the real worker behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import qt_names
import slicer
from CTInvariancePanel.nodes import factsOf
from panel_bench import SIZE, add_volume, explore, finish, press
from PySide6.QtTest import QTest

LAYER, N = "8", 12


def sample(bench, widget, n=N, **settings):
    """Sample as people do; returns the section and the result."""
    section = explore(bench, widget, n=n, **settings)
    press(bench, section, section.ui.sampleButton)
    return section, widget.panel.results.current


def test_every_widget_says_what_it_is_for_and_fits(panel):
    _bench, widget = panel
    nameless = [each for each in qt_names.people_see(widget.parent) if not each.toolTip]
    assert not nameless, [(each.objectName, type(each).__name__) for each in nameless]
    assert widget.parent.minimumSizeHint().width() <= 400
    unreachable = [each for each in qt_names.controls(widget.parent) if not qt_names.by_keyboard(each)]
    assert not unreachable, [each.objectName for each in unreachable]


@pytest.fixture
def in_font():
    """Sets the application's font, and the former one in the end."""
    import qt

    application = qt.QApplication.instance()
    before = application.font()

    def set_font(family, points):
        application.setFont(qt.QFont(family, points))
        application.processEvents()

    yield set_font
    application.setFont(before)


LONG = "3:_" + 12 * "CE,Axial,3.0,,WITH_"
FONTS = [
    ("DejaVu Sans", 8),
    ("DejaVu Sans", 16),
    ("DejaVu Serif", 13),
    ("DejaVu Sans Mono", 13),
    ("Liberation Sans", 11),
]


@pytest.mark.parametrize(("family", "points"), FONTS)
def test_400_pixels_do_whatever_fonts_and_names_there_are(panel, in_font, family, points):
    bench, widget = panel
    explore(bench, widget, volume=add_volume(name=LONG))
    widget.panel.showError(f"{LONG} is no CT scan.")
    widget.panel.explore.ui.progressLabel.setText(LONG)
    widget.panel.explore.ui.placeLabel.setText(LONG)
    widget.panel.data.ui.dataLabel.setText(LONG)
    hidden = widget.panel.explore.ui.progressArea, widget.panel.explore.ui.progressLabel
    folded = [each for each in widget.panel.sections if each.button.collapsed]
    for each in folded:
        each.button.collapsed = False
    for each in hidden:
        each.setVisible(True)
    in_font(family, points)
    needed = widget.parent.minimumSizeHint().width()
    for each in folded:
        each.button.collapsed = True
    for each in hidden:
        each.setVisible(False)
    assert needed <= 400


@pytest.mark.parametrize("points", [9, 10, 11])
def test_at_400_pixels_no_text_is_cut(panel, in_font, points):
    """Slicer's font on Linux is DejaVu Sans of 9 to 10 points; other systems have narrower ones."""
    from PySide6.QtWidgets import QAbstractSpinBox, QLabel, QPushButton

    bench, widget = panel
    explore(bench, widget)
    in_font("DejaVu Sans", points)
    before = widget.parent.size
    widget.parent.resize(400, 1400)
    bench.application.processEvents()
    shown = [each for each in qt_names.people_see(widget.parent) if each.isVisible()]
    texts = [each for each in shown if isinstance(each, (QPushButton, QAbstractSpinBox, QLabel))]
    cut = [
        (each.objectName, each.width, each.sizeHint().width())
        for each in texts
        if not getattr(each, "wordWrap", False) and each.width < each.sizeHint().width()
    ]
    widget.parent.resize(before)
    assert len(texts) > 15
    assert not cut


def test_the_layer_is_described(panel):
    bench, widget = panel
    section = explore(bench, widget)
    assert section.ui.layerShapeLabel.text == "layer 8, 8 of 8: 1 × 32 × 32"
    section.ui.denoiserBox.setCurrentIndex(section.ui.denoiserBox.findData("chen"))
    section.ui.layerSlider.setValue(0)
    assert section.parameters.layer == "1"
    assert section.ui.layerShapeLabel.text == "layer 1, 1 of 3: 64 × 32 × 32"


def test_samples_come_back_as_nodes_at_their_place(panel):
    bench, widget = panel
    volume = add_volume()
    section, result = sample(bench, widget, volume=volume)
    assert result.sequence.GetNumberOfDataNodes() == N
    patch = section.patch
    to_ras, of_patch = (slicer.util.arrayFromVTKMatrix(_matrix(node)) for node in (volume, result.sample))
    expected = to_ras @ (patch.left, patch.top, patch.slice, 1)
    np.testing.assert_allclose(of_patch[:, 3], expected, atol=1e-6)
    images = np.stack([slicer.util.arrayFromVolume(result.sequence.GetNthDataNode(k))[0] for k in range(N)])
    np.testing.assert_allclose(slicer.util.arrayFromVolume(result.mean)[0], images.mean(0), atol=1e-3)
    np.testing.assert_allclose(slicer.util.arrayFromVolume(result.std)[0], images.std(0, ddof=1), atol=1e-3)
    assert result.mean.GetAttribute("CTInvariance.layer") == LAYER
    assert result.mean.GetScalarVolumeDisplayNode().GetWindow() == 500
    assert result.mean.GetAttribute("CTInvariance.tolerance") == "0.5"
    assert section.ui.verdictLabel.visible
    assert "yang layer 8, τ = 0.5 · V = " in section.ui.verdictLabel.text
    assert widget.panel.results.ui.resultsTable.rowCount == 1


def test_the_library_draws_the_same(panel, tiny_spatial_models):
    import CTInvarianceLib as cti
    from CTInvarianceLib.volumes import Region

    bench, widget = panel
    volume = add_volume()
    section, result = sample(bench, widget, volume=volume)
    p = section.patch
    drawn = cti.Models.load(tiny_spatial_models).sample(
        slicer.util.arrayFromVolume(volume)[p.slice], "yang", LAYER, n=N, region=Region(p.top, p.left, 32, 32)
    )
    for k in range(N):
        ours = slicer.util.arrayFromVolume(result.sequence.GetNthDataNode(k))[0]
        np.testing.assert_allclose(ours, drawn.images[k], atol=1e-2)
    for key, value in (
        ("spread", drawn.spread),
        ("misfit_max", drawn.misfit.max()),
        ("visibility", drawn.visibility),
    ):
        assert float(result.browser.GetAttribute(f"CTInvariance.{key}")) == pytest.approx(value, rel=1e-2)


def cells(widget, row=0):
    table = widget.panel.results.ui.resultsTable
    return [table.item(row, column).text() for column in range(table.columnCount)]


def test_what_is_shown_before_it_is_corrected_is_called_a_proposal(panel):
    bench, widget = panel
    section = explore(bench, widget, n=N)
    box, seen = section.ui.verdictLabel, []

    def look(job):
        if job.result is not None and not job.finished:
            seen.append((cells(widget), box.text, box.visible))

    bench.click(section.ui.sampleButton)
    job = section.job
    job.whenChanged(look)
    finish(bench, job)
    row, text, visible = seen[0]
    assert row == ["yang", "8", "low", "0.5", "…", "…", "…", f"{N}"]
    assert "the flow's proposals" in text
    assert visible
    facts = factsOf(widget.panel.results.current.browser)
    assert "proposed" not in facts
    assert cells(widget)[4:7] == [
        f"{float(facts['spread']):.1f}",
        f"{float(facts['arrives']):.1f}",
        f"{float(facts['visibility']):.2f}",
    ]
    assert "the flow's proposals" not in box.text


def test_cancelled_while_it_is_corrected_it_stays_a_proposal(panel):
    bench, widget = panel
    section = explore(bench, widget, n=200)
    bench.click(section.ui.sampleButton)
    job = section.job
    job.whenChanged(lambda job: job.result is not None and job.cancel())
    finish(bench, job)
    assert job.state == "cancelled"
    assert "proposed" in factsOf(widget.panel.results.current.browser)
    assert "the flow's proposals" in section.ui.verdictLabel.text
    assert cells(widget)[4] == "…"


def test_draws_of_two_tolerances_are_told_apart(panel):
    bench, widget = panel
    section, first = sample(bench, widget, volume=add_volume())
    section.ui.toleranceBox.setValue(1.25)
    assert section.parameters.tolerance == 1.25
    press(bench, section, section.ui.sampleButton)
    second = widget.panel.results.current
    assert [cells(widget, row)[3] for row in (0, 1)] == ["0.5", "1.25"]
    assert "layer 8 τ 0.5 ·" in first.mean.GetName()
    assert "layer 8 τ 1.25 ·" in second.mean.GetName()
    allowed = [float(factsOf(each.browser)["tolerance_hu"]) for each in (first, second)]
    assert allowed[1] == pytest.approx(2.5 * allowed[0], rel=1e-4)
    for row, told in ((0, "τ = 0.5"), (1, "τ = 1.25")):  # the box is about the row that is looked at
        widget.panel.results.ui.resultsTable.selectRow(row)
        assert told in section.ui.verdictLabel.text


def test_samples_are_drawn_without_the_flow_where_people_say_so(panel):
    bench, widget = panel
    section = explore(bench, widget, n=N)
    assert section.ui.flowBox.checked
    section.ui.flowBox.setChecked(False)
    try:
        press(bench, section, section.ui.sampleButton)
        section.ui.domainBox.setCurrentIndex(section.ui.domainBox.findData("full"))
        assert not section.ui.flowBox.enabled  # full-dose samples need it, and have it
    finally:
        section.ui.domainBox.setCurrentIndex(section.ui.domainBox.findData("low"))
        section.ui.flowBox.setChecked(True)
    assert section.ui.flowBox.enabled
    facts = factsOf(widget.panel.results.current.browser)
    assert facts["flow"] == "false"
    assert float(facts["spread"]) > 0
    assert "without flow" in widget.panel.results.current.mean.GetName()


def test_full_dose_samples_promise_no_tolerance(panel):
    bench, widget = panel
    section = explore(bench, widget, n=N)
    section.ui.domainBox.setCurrentIndex(section.ui.domainBox.findData("full"))
    try:
        press(bench, section, section.ui.sampleButton)
    finally:
        section.ui.domainBox.setCurrentIndex(section.ui.domainBox.findData("low"))
    row = cells(widget)
    assert row[2:4] == ["full", "0.5"]
    assert float(row[4]) > 0
    assert row[5:7] == ["–", "–"]
    assert "may have been behind this low-dose image" in section.ui.verdictLabel.text


def test_a_draw_of_an_earlier_version_is_told(panel):
    bench, widget = panel
    section, result = sample(bench, widget)
    for node in (result.browser, result.mean):
        for key in list(factsOf(node)):
            if key not in ("program", "models", "denoiser", "layer", "domain", "n", "seed", "title"):
                node.RemoveAttribute(f"CTInvariance.{key}")
        for key in ("R", "RStd", "floor", "ceiling", "std", "embeddingError"):
            node.SetAttribute(f"CTInvariance.{key}", "0.05")
    bench.enter()
    assert cells(widget) == ["yang", "8", "low", "–", "–", "–", "–", f"{N}"]
    assert "earlier version" in section.ui.verdictLabel.text


def test_a_scene_from_before_there_were_tolerances_opens(panel):
    _bench, widget = panel
    node = widget.logic.getParameterNode().parameterNode
    node.UnsetParameter("tolerance")
    assert widget.logic.getParameterNode().tolerance == 0.5
    widget.panel.setParameters(widget.logic.getParameterNode())
    assert widget.panel.explore.ui.toleranceBox.value == 0.5


def test_scrub_play_pin_compare_and_back(panel):
    bench, widget = panel
    _, result = sample(bench, widget)
    results = widget.panel.results
    results.ui.sampleSlider.setValue(3)
    third = slicer.util.arrayFromVolume(result.sequence.GetNthDataNode(3))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(result.sample), third)
    assert results.ui.sampleLabel.text == f"4/{N}"
    bench.click(results.ui.pinButton)
    pinned = slicer.mrmlScene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    pinned = pinned.GetItemAsObject(pinned.GetNumberOfItems() - 1)
    bench.click(results.ui.playButton)
    bench.wait(lambda: results.ui.sampleSlider.value > 4, what="playing")
    bench.click(results.ui.playButton)
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(pinned), third)
    manager = slicer.app.layoutManager()
    shown = manager.layoutLogic().GetLayoutNode().GetViewArrangement()
    bench.click(results.ui.leaveButton)
    assert manager.layoutLogic().GetLayoutNode().GetViewArrangement() != shown
    bench.click(results.ui.compareButton)
    assert manager.layoutLogic().GetLayoutNode().GetViewArrangement() == shown


def test_every_draw_is_laid_out_once(panel, monkeypatch):
    """Six views are filled and drawn each time; a scene with several draws is read twice for each of them."""
    bench, widget = panel
    shown = []
    show = widget.logic.showCompareView
    monkeypatch.setattr(widget.logic, "showCompareView", lambda result: (shown.append(result), show(result)))
    section, first = sample(bench, widget, n=3)
    section.ui.seedBox.setValue(1)
    press(bench, section, section.ui.sampleButton)
    second = widget.panel.results.current
    assert [each.browser for each in shown] == [first.browser, second.browser]
    widget.panel.results.ui.resultsTable.selectRow(0)
    assert [each.browser for each in shown[2:]] == [first.browser]
    slicer.mrmlScene.RemoveNode(first.browser)
    widget.panel.results.refresh()
    assert [each.browser for each in shown[3:]] == [second.browser]


def test_denoising_from_the_panel(panel):
    bench, widget = panel
    section = explore(bench, widget, add_volume(name="Thorax"))
    job = press(bench, section, section.ui.denoiseButton)
    assert job.result.GetName() == "yang denoised · Thorax"
    assert slicer.util.arrayFromVolume(job.result).shape == (3, SIZE, SIZE)
    assert "ready" in widget.panel.message.text


def test_what_is_said_when_the_panel_goes_is_not_taken_back_later(new_panel, monkeypatch):
    """A job that ends then says so; when its time is over, the label that it was said in is gone."""
    _bench, widget = new_panel
    monkeypatch.setattr("CTInvariancePanel.panel.SAID_MS", 20)
    going = widget.panel
    monkeypatch.setattr(type(going.message.parentWidget()), "underMouse", lambda self: False)
    monkeypatch.setattr(going.log, "cleanup", lambda: going.say("cancelled"))
    going.cleanup()
    QTest.qWait(200)
    assert going.message.text == "cancelled"
    going.say("cancelled, too")
    QTest.qWait(200)
    assert going.message.text == "cancelled, too"


def test_what_was_said_goes_and_what_went_wrong_stays(panel, monkeypatch):
    bench, widget = panel
    monkeypatch.setattr("CTInvariancePanel.panel.SAID_MS", 60)
    over = [True]
    monkeypatch.setattr(type(widget.panel.message.parentWidget()), "underMouse", lambda self: over[0])
    sample(bench, widget)
    bench.click(widget.panel.results.ui.pinButton)
    assert widget.panel.message.text.startswith("Kept as #1 · Sample · yang layer 8")
    QTest.qWait(300)
    assert widget.panel.message.isVisible(), "it would move what the mouse points at"
    over[0] = False
    bench.wait(lambda: not widget.panel.message.isVisible(), 30, "the end of the message")
    widget.panel.say("Loading …")
    widget.panel.showError("the disk is full")
    QTest.qWait(300)
    assert widget.panel.message.text == "The disk is full"


def test_cancel_gives_the_panel_back(panel):
    bench, widget = panel
    section = explore(bench, widget, n=5000, size=96)
    bench.click(section.ui.sampleButton)
    job = section.job
    bench.wait(lambda: job.progress > 0, what="progress")
    bench.click(section.ui.cancelButton)
    finish(bench, job)
    assert job.state == "cancelled"
    assert section.ui.sampleButton.isEnabled()
    assert not section.ui.progressArea.isVisible()
    assert widget.panel.results.current is None
    assert not list(widget.logic.jobs.scratch.folder.glob("[!.]*"))


def test_the_patch_is_dragged_and_kept_inside(panel):
    bench, widget = panel
    volume = add_volume()
    section = explore(bench, widget, volume)
    bench.click(section.ui.patchButton)
    roi = section.roi.node
    roi.SetCenterWorld(section.patch.center(volume) + 1000.0)
    roi.InvokeEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)
    assert section.patch.slice in (0, 2)
    assert f"Slice {section.patch.slice}" in section.ui.placeLabel.text
    slicer.mrmlScene.RemoveNode(roi)
    assert not section.ui.patchButton.isChecked()


def test_everything_survives_saving_and_reopening(panel, tmp_path):
    bench, widget = panel
    _section, result = sample(bench, widget)
    before = slicer.util.arrayFromVolume(result.sequence.GetNthDataNode(5)).copy()
    table = cells(widget)
    bundle = tmp_path / "Szene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(bundle))
    slicer.mrmlScene.Clear(0)
    assert widget.panel.results.current is None
    assert slicer.mrmlScene.ReadFromMRB(str(bundle))
    bench.wait(lambda: widget.panel.results.current is not None, what="the result of the reopened scene")
    again = widget.panel.results.current
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(again.sequence.GetNthDataNode(5)), before)
    assert cells(widget) == table
    assert widget.panel.explore.parameters.inputVolume.GetName() == "CT Bauch"
    assert widget.panel.explore.parameters.count == N
    assert "τ = 0.5" in widget.panel.explore.ui.verdictLabel.text


def test_the_patch_size_follows_the_console(panel):
    bench, widget = panel
    section = explore(bench, widget)
    widget.logic.getParameterNode().patchSize = 48
    assert section.patch.rows == 48
    assert section.ui.sizeBox.value == 48


def _matrix(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def test_screenshots_are_of_this_panel():
    """The pictures in the README exist."""
    folder = Path(__file__).parents[2] / "Resources" / "Screenshots"
    assert {"panel.png", "compare.png"} <= {path.name for path in folder.iterdir()}


def test_setup_names_the_device_and_what_is_missing(panel, monkeypatch):
    from CTInvariancePanel.setup import install

    bench, widget = panel
    setup = widget.panel.setup
    assert setup.button.collapsed
    setup.button.collapsed = False
    bench.click(setup.ui.checkButton)
    bench.wait(lambda: "torch" in setup.ui.deviceLabel.text, what="the device")
    assert not setup.ui.installButton.isVisible()
    lacking = install.Requirement("monai", ">=99", "", False, "networks")
    monkeypatch.setattr(install, "check", lambda: [lacking])
    bench.click(setup.ui.checkButton)
    assert "✗ <b>monai</b> missing" in setup.ui.requirementsLabel.text
    bench.answers.append(False)
    bench.click(setup.ui.installButton)
    assert widget.panel.message.text == "Nothing was installed."


def test_the_log_can_be_copied_and_is_capped(panel):
    bench, widget = panel
    log = widget.panel.log
    for number in range(2100):
        widget.logic.log(f"line {number}")
    assert len(widget.logic.logText.splitlines()) == 2000
    assert log.ui.logText.blockCount == 2000
    log.button.collapsed = False
    bench.click(log.ui.copyButton)
    import qt

    assert qt.QApplication.clipboard().text().endswith("line 2099")
