"""Compare layout: what went in above what the layer cannot tell apart, side by side and linked."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from ..nodes import SampleNodes, nodesOf, sameGrid
from .fitting import FittedViews
from .legend import addLegend, placeLegend
from .sliceviews import View, compositeOf, faceSlice, nameView, sliceNodeOf
from .window import SharedWindow

VIEWS = {
    "input": View("CTInvarianceLow", "L", _("Low dose"), "#6fa8dc"),
    "denoised": View("CTInvarianceDenoised", "D", _("Denoised"), "#93c47d"),
    "fullDose": View("CTInvarianceFull", "F", _("Full dose"), "#8e7cc3"),
    "sample": View("CTInvarianceSample", "S", _("Sample"), "#f6b26b"),
    "mean": View("CTInvarianceMean", "M", _("Mean"), "#ffd966"),
    "std": View("CTInvarianceStd", "SD", _("Std"), "#e06666"),
}
"""By the role of the volume that a view shows."""

_OURS = "CTInvariance"  # so begin the tags of all our views
_ABOVE, _BELOW = ("input", "denoised", "fullDose"), ("sample", "mean", "std")
_FIRST_ID = 26680  # Slicer's own layouts end below 100; one of ours for every set of volumes above
_BEFORE = "CTInvariance.before"
_FOUR_UP = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
_KEPT: list[SharedWindow | FittedViews] = []  # of the draw that is compared


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
    layoutNode.SetViewArrangement(_FIRST_ID + which)  # before rendering pauses: it makes views
    _release()
    with slicer.util.RenderBlocker():
        _KEPT.append(SharedWindow([node for role, node in shown.items() if role != "std"]))
        for role, node in shown.items():
            overlay = nodes.std if role in {"input", "denoised"} else None
            _fill(compositeOf(scene, VIEWS[role]), node, overlay)
        _fit(layoutNode, list(shown), nodes)


def viewsOfPatch(layoutNode: Any = None) -> list[str]:
    """Ids of the slice nodes in which the square of the patch helps; empty: in all views.

    Of those that compare, the input's alone: the others show the patch and no more, and its handle hides their middle.
    """
    layoutNode = layoutNode or _layoutNode()
    if not isComparing(layoutNode):
        return []
    sliceNode = sliceNodeOf(layoutNode.GetScene(), VIEWS["input"])
    return [sliceNode.GetID()] if sliceNode is not None else []


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


def showVolume(node: Any) -> None:
    """Show a volume in the slice views of the layout from before; ours keep what they compare.

    Zoom and slice stay where a volume on the same grid was shown, as when a low-dose copy of it arrives.
    """
    leaveCompare()
    with slicer.util.RenderBlocker():
        for logic in _otherLogics():
            before = logic.GetBackgroundLayer().GetVolumeNode()
            logic.GetSliceCompositeNode().SetBackgroundVolumeID(node.GetID())
            if before is None or not sameGrid(before, node):
                logic.FitSliceToBackground()


def _otherLogics() -> list[Any]:
    logics = slicer.app.layoutManager().mrmlSliceLogics()
    found = [logics.GetItemAsObject(index) for index in range(logics.GetNumberOfItems())]
    return [logic for logic in found if not logic.GetSliceNode().GetLayoutName().startswith(_OURS)]


def isComparing(layoutNode: Any = None) -> bool:
    """Whether one of our layouts is shown."""
    layoutNode = layoutNode or _layoutNode()
    shown = layoutNode.GetViewArrangement() if layoutNode is not None else 0
    return _FIRST_ID <= shown < _FIRST_ID + 2 ** len(_ABOVE)


def _layoutNode() -> Any:
    return next(iter(nodesOf("vtkMRMLLayoutNode", slicer.mrmlScene)), None)


def _release() -> None:
    while _KEPT:
        _KEPT.pop().release()


def _fit(layoutNode: Any, roles: list[str], nodes: SampleNodes) -> None:
    """Turn and fit the views to the patch, and keep them so when their sizes change."""
    sliceNodes = {role: sliceNodeOf(layoutNode.GetScene(), VIEWS[role]) for role in roles}
    sliceNodes = {role: node for role, node in sliceNodes.items() if node is not None}
    for node in sliceNodes.values():
        faceSlice(node, nodes.sample)
    legend = addLegend(nodes.std, sliceNodes.get("std"))

    def fitted() -> None:
        for role, node in sliceNodes.items():
            nameView(node, VIEWS[role])
        if legend is not None:
            placeLegend(legend, sliceNodes["std"])

    _KEPT.append(FittedViews(layoutNode, list(sliceNodes.values()), nodes.sample, fitted))


def _description(rows: list[Any]) -> str:
    lines = "".join(
        f'<item><layout type="horizontal">{"".join(f"<item>{VIEWS[role].xml}</item>" for role in row)}</layout></item>'
        for row in rows
        if row
    )
    return f'<layout type="vertical" split="true">{lines}</layout>'


def _fill(composite: Any, node: Any, overlay: Any) -> None:
    with slicer.util.NodeModify(composite):
        composite.SetDoPropagateVolumeSelection(False)  # else the volume would spread to the views of others
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)
        composite.SetBackgroundVolumeID(node.GetID())
        composite.SetForegroundVolumeID(overlay.GetID() if overlay is not None else None)
        composite.SetForegroundOpacity(0.0)
        composite.SetLabelVolumeID(None)
