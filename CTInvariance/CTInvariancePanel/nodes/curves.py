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
        colour: of the line.
    """

    role: str
    title: str
    axis: str
    figures: Mapping[str, str]
    colour: tuple[float, float, float]


LOSS = Chart(
    "loss", _("Loss"), _("loss"), {"loss": _("loss"), "nll": _("negative log-likelihood")}, (0.2, 0.4, 0.7)
)
QUALITY = Chart(
    "quality",
    _("Difference from full dose"),
    _("root mean square, HU"),
    {"rmse_hu": _("validation")},
    (0.8, 0.35, 0.1),
)
CHARTS = (LOSS, QUALITY)


def plot(scene: Any, chart: Chart, stage: str, curves: Mapping[str, Points]) -> Any:
    """The chart node, with the first of its figures that the stage has; made where it is not in the scene yet.

    Args:
        scene: of the nodes.
        chart: which.
        stage: that the curves are of.
        curves: steps and values by name.
    """
    name = next((figure for figure in chart.figures if curves.get(figure)), None)
    steps, values = curves[name] if name is not None else ((), ())
    table = _node(scene, chart, "vtkMRMLTableNode")
    columns = np.array(steps, np.float64), np.array(values, np.float64)
    if _changed(table, columns[0], stage):
        slicer.util.updateTableFromArray(table, columns, [_("step"), chart.axis])
        table.SetAttribute(f"{_ROLE}.stage", stage)
    series = _node(scene, chart, "vtkMRMLPlotSeriesNode")
    series.SetName(chart.figures[name] if name is not None else chart.title)
    node = _node(scene, chart, "vtkMRMLPlotChartNode")
    node.SetTitle(f"{chart.title}: {stage}")
    if not series.GetTableNodeID():
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(_("step"))
        series.SetYColumnName(chart.axis)
        series.SetPlotType(series.PlotTypeScatter)
        series.SetMarkerStyle(series.MarkerStyleNone)
        series.SetColor(*chart.colour)
        node.SetXAxisTitle(_("step"))
        node.SetYAxisTitle(chart.axis)
        node.AddAndObservePlotSeriesNodeID(series.GetID())
    return node


def _changed(table: Any, steps: np.ndarray, stage: str) -> bool:
    """A curve only grows: it is another one where its length, its end or its stage is another."""
    if table.GetAttribute(f"{_ROLE}.stage") != stage or table.GetNumberOfRows() != len(steps):
        return True
    last = table.GetTable().GetValue(len(steps) - 1, 0).ToDouble() if len(steps) else None
    return last is not None and last != steps[-1]


def _node(scene: Any, chart: Chart, kind: str) -> Any:
    for node in nodesOf(kind, scene):
        if node.GetAttribute(_ROLE) == chart.role:
            return node
    node = scene.AddNewNodeByClass(kind, f"{_('Training')}: {chart.title}")
    node.SetAttribute(_ROLE, chart.role)
    node.SetSaveWithScene(False)
    return node
