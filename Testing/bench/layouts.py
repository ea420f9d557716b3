"""`slicer.app.layoutManager()`: slice views of the current layout, with Slicer's real logics, without windows."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import slicer
import vtk

SIZE = (400, 400)  # of a view before anybody has drawn it


class SliceController:
    """What a view's bar answers."""

    def __init__(self, logic):
        self._logic = logic

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self):
        self._logic.FitSliceToBackground()

    def setSliceOffsetValue(self, offset):
        self._logic.StartSliceOffsetInteraction()
        self._logic.SetSliceOffset(offset)
        self._logic.EndSliceOffsetInteraction()


class SliceView:
    """The part that would draw."""

    def forceRender(self):
        """Drawn when a picture is asked for."""

    scheduleRender = forceRender


class SliceWidget:
    """A slice view: its node, its logic, its bar."""

    def __init__(self, logic):
        self._logic, self._controller, self._view = logic, SliceController(logic), SliceView()

    @property
    def width(self):
        return self._logic.GetSliceNode().GetDimensions()[0]

    def sliceLogic(self):
        return self._logic

    def mrmlSliceNode(self):
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self):
        return self._logic.GetSliceCompositeNode()

    def sliceController(self):
        return self._controller

    def sliceView(self):
        return self._view


class LayoutManager:
    """Follows the scene: a view for every slice node, in the order in which they came."""

    threeDViewCount = tableViewCount = plotViewCount = 0

    def __init__(self, scene, application_logic):
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
        self._scene, self._application = scene, application_logic
        self._widgets, self._logics, self._following = {}, vtk.vtkCollection(), False
        application_logic.SetSliceLogics(self._logics)
        self._layout = slicer.vtkMRMLLayoutLogic()
        self._layout.SetMRMLScene(scene)
        self._link = slicer.vtkMRMLSliceLinkLogic()
        self._link.SetMRMLApplicationLogic(application_logic)
        self._link.SetMRMLScene(scene)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndImportEvent):
            scene.AddObserver(event, lambda caller, event: self._follow())
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def _follow(self):
        nodes = {
            node.GetLayoutName(): node
            for node in slicer.util.getNodesByClass("vtkMRMLSliceNode", self._scene)
        }
        for name in set(self._widgets) - set(nodes):
            self._logics.RemoveItem(self._widgets.pop(name).sliceLogic())
        if self._following or self._scene.IsBatchProcessing():
            return
        self._following = True  # a new view's own nodes come into the scene before it is done
        for name, node in nodes.items():
            if name not in self._widgets:
                self._widgets[name] = SliceWidget(self._logicOf(node))
        self._following = False

    def _logicOf(self, node):
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self._application)
        self._logics.AddItem(logic)
        logic.SetMRMLScene(self._scene)
        logic.SetSliceNode(node)
        logic.ResizeSliceNode(*SIZE)
        return logic

    def mrmlScene(self):
        return self._scene

    def layoutLogic(self):
        return self._layout

    def mrmlSliceLogics(self):
        return self._logics

    def sliceViewNames(self):
        return tuple(self._widgets)

    def sliceWidget(self, name):
        return self._widgets.get(name)

    def threeDWidget(self, index):
        """There are no 3D views."""

    def setLayout(self, layout):
        self._layout.GetLayoutNode().SetViewArrangement(layout)
        self._follow()

    @property
    def layout(self):
        return self._layout.GetLayoutNode().GetViewArrangement()

    def resetSliceViews(self):
        for index in range(self._logics.GetNumberOfItems()):
            self._logics.GetItemAsObject(index).FitSliceToBackground()

    def places(self, width: int, height: int):
        """Where the current layout puts its views: pairs of a view's XML element and (x, y, width, height)."""
        xml = self._layout.GetLayoutNode().GetCurrentLayoutDescription()
        return list(_places(ElementTree.fromstring(xml), (0, 0, width, height)))


def _places(element, area):
    if element.tag == "view":
        yield element, area
        return
    items = element.findall("item")
    kind = element.get("type", "horizontal")
    if kind == "tab":
        items = items[:1]
    for item, part in zip(items, _parts(kind, items, area), strict=True):
        for child in item:
            yield from _places(child, part)


def _parts(kind: str, items, area):
    x, y, width, height = area
    if kind == "grid":
        rows = 1 + max(int(item.get("row", 0)) for item in items)
        columns = 1 + max(int(item.get("column", 0)) for item in items)
        cells = [(int(item.get("row", 0)), int(item.get("column", 0))) for item in items]
        w, h = width // columns, height // rows
        return [(x + column * w, y + row * h, w, h) for row, column in cells]
    sizes = [float(item.get("splitSize") or 1) for item in items]
    edges = [sum(sizes[:i]) / sum(sizes) for i in range(len(sizes) + 1)]
    if kind == "vertical":
        cuts = [round(y + edge * height) for edge in edges]
        return [(x, a, width, b - a) for a, b in pairwise(cuts)]
    cuts = [round(x + edge * width) for edge in edges]
    return [(a, y, b - a, height) for a, b in pairwise(cuts)]
