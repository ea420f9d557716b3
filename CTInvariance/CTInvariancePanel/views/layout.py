"""Compare layout: what went in above what the layer cannot tell apart, side by side and linked."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from ..nodes import SampleNodes, nodesOf
from .sliceviews import View, compositeOf, faceSlice, fitTo, sliceNodeOf
from .window import SharedWindow

VIEWS = {
    "input": View("CTInvarianceLow", _("Low dose"), "#6fa8dc"),
    "denoised": View("CTInvarianceDenoised", _("Denoised"), "#93c47d"),
    "fullDose": View("CTInvarianceFull", _("Full dose"), "#8e7cc3"),
    "sample": View("CTInvarianceSample", _("Sample"), "#f6b26b"),
    "mean": View("CTInvarianceMean", _("Mean"), "#ffd966"),
    "std": View("CTInvarianceStd", _("Std"), "#e06666"),
}
"""By the role of the volume that a view shows."""

_ABOVE, _BELOW = ("input", "denoised", "fullDose"), ("sample", "mean", "std")
_FIRST_ID = 26680  # Slicer's own layouts end below 100; one of ours for every set of volumes above
_BEFORE = "CTInvariance.before"
_FOUR_UP = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
_SHARED: list[SharedWindow] = []  # of the draw that is compared: one at most


def registerLayouts(layoutNode: Any) -> None:
    """Tell Slicer our layouts, so that a scene saved in one of them opens in it."""
    for which in range(2 ** len(_ABOVE)):
        above = [role for bit, role in enumerate(_ABOVE) if which >> bit & 1]
        text = _description([above, _BELOW])
        if not layoutNode.AddLayoutDescription(_FIRST_ID + which, text):
            layoutNode.SetLayoutDescription(_FIRST_ID + which, text)


def showCompare(layoutNode: Any, nodes: SampleNodes) -> None:
    """Show a draw side by side: input, denoised and full dose, as far as there are, above sample, mean and spread.

    The views are linked, look at the slices of the volume face on, and are fitted to the patch.
    """
    scene = nodes.browser.GetScene()
    if not isComparing(layoutNode):
        layoutNode.SetAttribute(_BEFORE, str(layoutNode.GetViewArrangement()))
    registerLayouts(layoutNode)
    shown = {role: getattr(nodes, role) for role in VIEWS if getattr(nodes, role) is not None}
    which = sum(2**bit for bit, role in enumerate(_ABOVE) if role in shown)
    layoutNode.SetViewArrangement(_FIRST_ID + which)
    _release()
    _SHARED.append(SharedWindow([node for role, node in shown.items() if role != "std"]))
    for role, node in shown.items():
        overlay = nodes.std if role in {"input", "denoised"} else None
        _fill(compositeOf(scene, VIEWS[role]), node, overlay)
    fitCompare(nodes)
    _addLegend(nodes.std, sliceNodeOf(scene, VIEWS["std"]))


def fitCompare(nodes: SampleNodes) -> None:
    """Bring the patch back into the middle of all views, once more when their sizes have changed."""
    for view in VIEWS.values():
        sliceNode = sliceNodeOf(nodes.sample.GetScene(), view)
        if sliceNode is not None:
            faceSlice(sliceNode, nodes.sample)
            fitTo(sliceNode, nodes.sample)


def setStdOverlay(opacity: float, scene: Any = None) -> None:
    """Lay the standard deviation over the input and the denoised image, 0: not at all, 1: it alone."""
    for role in ("input", "denoised"):
        compositeOf(scene or slicer.mrmlScene, VIEWS[role]).SetForegroundOpacity(opacity)


def leaveCompare(layoutNode: Any = None) -> None:
    """Back to the layout from which `showCompare` was called."""
    layoutNode = layoutNode or _layoutNode()
    _release()
    if isComparing(layoutNode):
        layoutNode.SetViewArrangement(int(layoutNode.GetAttribute(_BEFORE) or _FOUR_UP))


def isComparing(layoutNode: Any = None) -> bool:
    """Whether one of our layouts is shown."""
    layoutNode = layoutNode or _layoutNode()
    shown = layoutNode.GetViewArrangement() if layoutNode is not None else 0
    return _FIRST_ID <= shown < _FIRST_ID + 2 ** len(_ABOVE)


def _layoutNode() -> Any:
    return next(iter(nodesOf("vtkMRMLLayoutNode", slicer.mrmlScene)), None)


def _release() -> None:
    while _SHARED:
        _SHARED.pop().release()


def _description(rows: list[Any]) -> str:
    lines = "".join(
        f'<item><layout type="horizontal">{"".join(f"<item>{VIEWS[role].xml}</item>" for role in row)}</layout></item>'
        for row in rows
        if row
    )
    return f'<layout type="vertical" split="true">{lines}</layout>'


def _fill(composite: Any, node: Any, overlay: Any) -> None:
    composite.SetDoPropagateVolumeSelection(False)  # else the volume would spread to the views of others
    composite.SetLinkedControl(True)
    composite.SetHotLinkedControl(True)
    composite.SetBackgroundVolumeID(node.GetID())
    composite.SetForegroundVolumeID(overlay.GetID() if overlay is not None else None)
    composite.SetForegroundOpacity(0.0)
    composite.SetLabelVolumeID(None)


def _addLegend(std: Any, sliceNode: Any) -> None:
    """Colours and their HU, beside the spread alone; where the application has legends."""
    module = getattr(getattr(slicer, "modules", None), "colors", None)
    logic = module.logic() if module is not None else None
    if not hasattr(logic, "AddDefaultColorLegendDisplayNode") or sliceNode is None:
        return
    legend = logic.AddDefaultColorLegendDisplayNode(std)
    if legend is not None:
        legend.SetTitleText(_("Std, HU"))
        legend.SetLabelFormat("%.0f")
        legend.SetViewNodeIDs([sliceNode.GetID()])
