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
    """What the chart shows: name of every series, with its points."""
    found = {}
    for k in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(k)
        names = series.GetXColumnName(), series.GetYColumnName()
        columns = (slicer.util.arrayFromTableColumn(series.GetTableNode(), name).tolist() for name in names)
        found[series.GetName()] = list(zip(*columns, strict=True))
    return found


def test_curves_grow_and_give_way_to_those_of_another_stage(bench, nodes):
    scene, (loss, quality) = slicer.mrmlScene, nodes.CHARTS
    chart = nodes.plot(scene, loss, "denoiser chen", {"loss": ([0], [2.0])})
    assert plotted(chart) == {"training": [(0, 2.0)]}
    grown = {"loss": ([0, 20], [2.0, 1.0]), "validation": ([10], [3.0]), "rmse_hu": ([0], [40.0])}
    assert nodes.plot(scene, loss, "denoiser chen", grown) is chart
    assert plotted(chart) == {"training": [(0, 2.0), (20, 1.0)], "validation": [(10, 3.0)]}
    nodes.plot(scene, loss, "denoiser chen", {"loss": ([0, 40], [2.0, 0.5])})  # thinned: as long as before
    assert plotted(chart) == {"training": [(0, 2.0), (40, 0.5)]}
    nodes.plot(scene, loss, "flow", {"nll": ([5, 7], [-1.0, -2.0]), "other": ([0], [0.0])})
    assert plotted(chart) == {"negative log-likelihood": [(5, -1.0), (7, -2.0)]}
    assert "flow" in chart.GetTitle()
    nodes.plot(scene, loss, "data", {})
    assert plotted(chart) == {}
    other = nodes.plot(scene, quality, "denoiser chen", grown)
    assert plotted(other) == {"validation": [(0, 40.0)]}
    assert len(slicer.util.getNodesByClass("vtkMRMLPlotChartNode")) == 2
    assert len(slicer.util.getNodesByClass("vtkMRMLTableNode")) == 4, "one for every figure, used again"


def test_a_scene_that_was_closed_gets_new_ones(bench, nodes):
    nodes.plot(slicer.mrmlScene, nodes.CHARTS[0], "a", {"loss": ([0], [2.0])})
    slicer.mrmlScene.Clear(0)
    chart = nodes.plot(slicer.mrmlScene, nodes.CHARTS[0], "a", {"loss": ([0], [2.0])})
    assert plotted(chart) == {"training": [(0, 2.0)]}


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
