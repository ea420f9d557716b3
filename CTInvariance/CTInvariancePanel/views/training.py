"""Layout of a training: its curves above the example that it shows."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from ..nodes import CHARTS
from .sliceviews import View, compositeOf, faceSlice, nameView, sliceNodeOf

_LAYOUT = 26690
_BEFORE = "CTInvariance.beforeTraining"
_SLICES = {
    ("low_dose",): View("CTInvarianceTrainLow", "L", _("Low dose"), "#6fa8dc"),
    ("denoised", "sample"): View("CTInvarianceTrainOut", "D", _("Denoised or sample"), "#93c47d"),
    ("full_dose",): View("CTInvarianceTrainFull", "F", _("Full dose"), "#8e7cc3"),
}
"""By the roles of what they show, of which there is one at a time."""

_PLOTS = {chart.role: f"CTInvariancePlot{chart.role.capitalize()}" for chart in CHARTS}


def registerTraining(layoutNode: Any) -> None:
    """Tell Slicer our layout."""
    plots = "".join(
        f'<item><view class="vtkMRMLPlotViewNode" singletontag="{tag}">'
        f'<property name="viewlabel" action="default">{role[0].upper()}</property></view></item>'
        for role, tag in _PLOTS.items()
    )
    slices = "".join(f"<item>{view.xml}</item>" for view in _SLICES.values())
    rows = "".join(
        f'<item><layout type="horizontal">{row}</layout></item>'
        for row in (plots, slices)  # curves above images
    )
    text = f'<layout type="vertical" split="true">{rows}</layout>'
    if not layoutNode.AddLayoutDescription(_LAYOUT, text):
        layoutNode.SetLayoutDescription(_LAYOUT, text)


def enterTraining(layoutNode: Any) -> None:
    """Show the layout."""
    if not showsTraining(layoutNode):
        layoutNode.SetAttribute(_BEFORE, str(layoutNode.GetViewArrangement()))
        registerTraining(layoutNode)
        layoutNode.SetViewArrangement(_LAYOUT)


def leaveTraining(layoutNode: Any) -> None:
    """Back to the layout from before."""
    if showsTraining(layoutNode):
        before = layoutNode.GetAttribute(_BEFORE) or slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
        layoutNode.SetViewArrangement(int(before))


def showsTraining(layoutNode: Any) -> bool:
    """Whether it is shown."""
    return layoutNode.GetViewArrangement() == _LAYOUT


def showCharts(scene: Any, charts: dict[str, Any]) -> None:
    """Show charts in our plot views, by role."""
    for role, node in charts.items():
        view = scene.GetSingletonNode(_PLOTS[role], "vtkMRMLPlotViewNode")
        if view is not None and view.GetPlotChartNodeID() != node.GetID():
            view.SetPlotChartNodeID(node.GetID())


def showImages(scene: Any, volumes: dict[str, Any]) -> None:
    """Show the example's volumes in our slice views, by role; a view that has none is empty."""
    for roles, view in _SLICES.items():
        node = next((volumes[role] for role in roles if role in volumes), None)
        composite, sliceNode = compositeOf(scene, view), sliceNodeOf(scene, view)
        composite.SetDoPropagateVolumeSelection(False)
        composite.SetBackgroundVolumeID(node.GetID() if node is not None else None)
        if node is None or sliceNode is None:
            continue
        faceSlice(sliceNode, node)
        nameView(sliceNode, view)
        widget = slicer.app.layoutManager().sliceWidget(view.tag)
        if widget is not None:
            widget.sliceLogic().FitSliceToBackground()
