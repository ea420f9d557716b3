"""Curves and example of a training as nodes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer


@pytest.fixture
def nodes():
    import CTInvariancePanel.nodes as wing

    return wing


def plotted(chart):
    series = chart.GetNthPlotSeriesNode(0)
    table = series.GetTableNode()
    names = series.GetXColumnName(), series.GetYColumnName()
    return [slicer.util.arrayFromTableColumn(table, name).tolist() for name in names]


def test_a_curve_grows_and_gives_way_to_that_of_another_stage(bench, nodes):
    scene, (loss, quality) = slicer.mrmlScene, nodes.CHARTS
    chart = nodes.plot(scene, loss, "denoiser chen", {"loss": ([0], [2.0])})
    assert plotted(chart) == [[0], [2.0]]
    assert nodes.plot(scene, loss, "denoiser chen", {"loss": ([0, 20], [2.0, 1.0])}) is chart
    assert plotted(chart) == [[0, 20], [2.0, 1.0]]
    nodes.plot(scene, loss, "denoiser chen", {"loss": ([0, 40], [2.0, 0.5])})  # thinned: as long as before
    assert plotted(chart) == [[0, 40], [2.0, 0.5]]
    nodes.plot(scene, loss, "flow", {"nll": ([5, 7], [-1.0, -2.0]), "other": ([0], [0.0])})
    assert plotted(chart) == [[5, 7], [-1.0, -2.0]]
    assert "flow" in chart.GetTitle()
    assert "likelihood" in chart.GetNthPlotSeriesNode(0).GetName()
    nodes.plot(scene, loss, "data", {})
    assert plotted(chart) == [[], []]
    assert nodes.plot(scene, quality, "denoiser chen", {"rmse_hu": ([0], [30.0])}) is not chart
    assert len(slicer.util.getNodesByClass("vtkMRMLPlotChartNode")) == 2
    assert len(slicer.util.getNodesByClass("vtkMRMLTableNode")) == 2


def test_a_scene_that_was_closed_gets_new_ones(bench, nodes):
    nodes.plot(slicer.mrmlScene, nodes.CHARTS[0], "a", {"loss": ([0], [2.0])})
    slicer.mrmlScene.Clear(0)
    chart = nodes.plot(slicer.mrmlScene, nodes.CHARTS[0], "a", {"loss": ([0], [2.0])})
    assert plotted(chart) == [[0], [2.0]]


def test_an_example_is_shown_in_the_same_volumes_again(bench, nodes, tmp_path):
    path = tmp_path / "example.npz"
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.savez(path, stage=np.array("denoiser"), low_dose=image, denoised=image + 1)
    volumes = nodes.showExample(slicer.mrmlScene, nodes.readExample(path))
    assert list(volumes) == ["low_dose", "denoised"]
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volumes["denoised"])[0], image + 1)
    np.savez(path, stage=np.array("flow"), low_dose=image[:2], sample=image[:2])
    again = nodes.showExample(slicer.mrmlScene, nodes.readExample(path))
    assert again["low_dose"] is volumes["low_dose"]
    assert slicer.util.arrayFromVolume(again["low_dose"]).shape == (1, 2, 4)
    first, right, down = (
        np.array(nodes.ijkToWorld(again["low_dose"], at)) for at in ((0, 0, 0), (1, 0, 0), (0, 1, 0))
    )
    assert (right - first)[0] < 0, "columns run to the patient's left, as in any axial CT"
    assert (down - first)[1] < 0, "rows run to the back"


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 no", "pickle", "cube"])
def test_what_is_no_example_is_not_shown(nodes, tmp_path, content):
    path = tmp_path / "example.npz"
    if content == "pickle":
        np.savez(path, low_dose=np.array([{"a": 1}], dtype=object))
    elif content == "cube":
        np.savez(path, low_dose=np.zeros((2, 2, 2)))
    elif content is not None:
        path.write_bytes(content)
    assert nodes.readExample(path) == {}
