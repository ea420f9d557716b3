"""Curves of a training as nodes that Slicer plots: a table, a series and a chart for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .finding import nodesOf

Points = tuple[Sequence[int], Sequence[float]]

_ROLE = "CTInvariance.curve"


@dataclass(frozen=True)
class Chart:
    """What is plotted in one view.

    Attributes:
        role: by which its nodes are found again.
        title: for people.
        axis: what its values are.
        figures: names of the figures that are plotted, as the log has them, with what people call them.
    """

    role: str
    title: str
    axis: str
    figures: Mapping[str, str]


CHARTS = (
    Chart(
        "loss",
        _("Loss"),
        _("loss"),
        {"loss": _("training"), "nll": _("negative log-likelihood"), "validation": _("validation")},
    ),
    Chart("quality", _("Difference from full dose"), _("root mean square, HU"), {"rmse_hu": _("validation")}),
)
_COLOURS = {
    "loss": (0.2, 0.4, 0.7),
    "nll": (0.2, 0.4, 0.7),
    "validation": (0.8, 0.35, 0.1),
    "rmse_hu": (0.2, 0.55, 0.3),
}


def plot(scene: Any, chart: Chart, stage: str, curves: Mapping[str, Points]) -> Any:
    """The chart node, with those of its figures that the stage has; made where it is not in the scene yet.

    Args:
        scene: of the nodes.
        chart: which.
        stage: that the curves are of.
        curves: steps and values by name.
    """
    node = _node(scene, "vtkMRMLPlotChartNode", chart.role, chart.title)
    node.SetTitle(f"{chart.title}: {stage}")
    node.SetXAxisTitle(_("step"))
    node.SetYAxisTitle(chart.axis)
    shown = [_series(scene, chart, name, stage, curves[name]) for name in chart.figures if name in curves]
    ids = [series.GetID() for series in shown]
    if ids != [node.GetNthPlotSeriesNodeID(k) for k in range(node.GetNumberOfPlotSeriesNodes())]:
        node.RemoveAllPlotSeriesNodeIDs()
        for each in ids:
            node.AddAndObservePlotSeriesNodeID(each)
    return node


def _series(scene: Any, chart: Chart, figure: str, stage: str, points: Points) -> Any:
    role, name = f"{chart.role} {figure}", chart.figures[figure]
    table = _node(scene, "vtkMRMLTableNode", role, name)
    columns = tuple(np.array(part, np.float64) for part in points)
    if _changed(table, columns[0], stage):
        slicer.util.updateTableFromArray(table, columns, [_("step"), chart.axis])
        table.SetAttribute(f"{_ROLE}.stage", stage)
    series = _node(scene, "vtkMRMLPlotSeriesNode", role, name)
    if not series.GetTableNodeID():
        series.SetName(name)  # as the legend has it
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(_("step"))
        series.SetYColumnName(chart.axis)
        series.SetPlotType(series.PlotTypeScatter)
        series.SetMarkerStyle(series.MarkerStyleNone)
        series.SetColor(*_COLOURS[figure])
    return series


def _changed(table: Any, steps: np.ndarray, stage: str) -> bool:
    """A curve only grows: it is another one where its length, its end or its stage is another."""
    if table.GetAttribute(f"{_ROLE}.stage") != stage or table.GetNumberOfRows() != len(steps):
        return True
    return bool(len(steps)) and table.GetTable().GetValue(len(steps) - 1, 0).ToDouble() != steps[-1]


def _node(scene: Any, kind: str, role: str, name: str) -> Any:
    for node in nodesOf(kind, scene):
        if node.GetAttribute(_ROLE) == role:
            return node
    node = scene.AddNewNodeByClass(kind, f"{_('Training')}: {name}")
    node.SetAttribute(_ROLE, role)
    node.SetSaveWithScene(False)
    return node
