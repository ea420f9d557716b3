"""The legend of the spread: a strip along the upper margin of its view, never over the image."""

from __future__ import annotations

from typing import Any

import slicer

_BAND, _BAND_PX = 0.08, 30  # of the view's height, and at least so many pixels
_SHARE = 0.8  # of the band's height: the rest is air; Slicer makes the text as large as the strip allows
_WIDTH = 0.8  # of the view's
_LABELS = 3


def addLegend(volumeNode: Any, sliceNode: Any) -> Any:
    """Colours and their HU in one view; None where the application has no legends.

    Args:
        volumeNode: in HU.
        sliceNode: of the only view that shows the legend.
    """
    module = getattr(getattr(slicer, "modules", None), "colors", None)
    logic = module.logic() if module is not None else None
    if not hasattr(logic, "AddDefaultColorLegendDisplayNode") or sliceNode is None:
        return None
    legend = logic.AddDefaultColorLegendDisplayNode(volumeNode)
    if legend is not None:
        legend.SetTitleText("")  # the view has a name
        legend.SetLabelFormat("%.3g HU")
        legend.SetNumberOfLabels(_LABELS)
        legend.SetOrientation(slicer.vtkMRMLColorLegendDisplayNode.Horizontal)
        legend.SetViewNodeIDs([sliceNode.GetID()])
        placeLegend(legend, sliceNode)
    return legend


def placeLegend(legend: Any, sliceNode: Any) -> None:
    """Keep the legend to the upper margin of its view, whose size has changed."""
    height = max(1, sliceNode.GetDimensions()[1])
    legend.SetSize(_SHARE * bandOf(height) / height, _WIDTH)  # of a horizontal one: height, width
    legend.SetPosition(0.5, 1.0)


def bandOf(height: float) -> float:
    """Height of the margin that the legend keeps to, of a view that is `height` pixels high."""
    return min(height / 4, max(_BAND_PX, _BAND * height))
