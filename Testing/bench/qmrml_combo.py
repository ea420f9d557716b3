"""Stand-in for qMRMLNodeComboBox, on the real MRML scene."""

# ruff: noqa: N801 - the names are those of Slicer and CTK

from __future__ import annotations

import slicer
import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

DEFAULTS = {"noneEnabled": False, "noneDisplay": "None", "showHidden": False, "showChildNodeTypes": True}
DEFAULTS |= dict.fromkeys(("addEnabled", "removeEnabled", "renameEnabled", "editEnabled"), True)
DEFAULTS |= {"selectNodeUponCreation": True}


def _flag(name: str, kind: type = bool) -> Property:
    return Property(kind, lambda self: self._flags[name], lambda self, value: self._setFlag(name, value))


class qMRMLNodeComboBox(QWidget):
    """Chooses a node of some types; follows nodes that come, go and change their names."""

    currentNodeChanged = Signal("PyObject")
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal("PyObject")
    EVENTS = ("NodeAddedEvent", "NodeRemovedEvent", "EndImportEvent", "EndCloseEvent", "EndBatchProcessEvent")

    def __init__(self, parent=None):
        QWidget.__init__(self, parent)
        self._scene, self._types, self._current, self._tags, self._node_tags = None, [], None, [], []
        self._flags = dict(DEFAULTS)
        self._attributes = []
        self._combo = QComboBox(self)
        self._combo.setObjectName("qt_combo")
        self._combo.activated.connect(self._chosen)
        QHBoxLayout(self).addWidget(self._combo)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.setEnabled(False)  # as in Slicer, until there is a scene

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        if self._scene is not None:
            for tag in self._tags:
                self._scene.RemoveObserver(tag)
        self._scene = scene
        events = [getattr(slicer.vtkMRMLScene, event) for event in self.EVENTS] if scene else []
        self._tags = [scene.AddObserver(event, self._sceneChanged) for event in events]
        self.setEnabled(scene is not None)
        self._fill()

    def _sceneChanged(self, caller, event):
        if caller.IsBatchProcessing():
            return
        try:
            self._fill()
        except RuntimeError:  # Qt has deleted it; in Slicer a deleted widget observes nothing any more
            self._forget()

    def _forget(self):
        for observed, tag in [(self._scene, tag) for tag in self._tags] + self._node_tags:
            observed.RemoveObserver(tag)
        self._tags, self._node_tags = [], []

    def _offered(self):
        if self._scene is None:
            return []
        nodes = [self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes())]
        return [node for node in nodes if self._suits(node)]

    def _suits(self, node) -> bool:
        kind = node.IsA if self._flags["showChildNodeTypes"] else lambda name: node.GetClassName() == name
        if node.GetHideFromEditors() and not self._flags["showHidden"]:
            return False
        return any(
            kind(name)
            and all(node.GetAttribute(key) == value for of, key, value in self._attributes if of == name)
            for name in self._types
        )

    def _fill(self):
        for node, tag in self._node_tags:
            node.RemoveObserver(tag)
        nodes = self._offered()
        self._node_tags = [(n, n.AddObserver(vtk.vtkCommand.ModifiedEvent, self._renamed)) for n in nodes]
        self._combo.clear()
        if self._flags["noneEnabled"] or not nodes:
            self._combo.addItem(self._flags["noneDisplay"], "")
        for node in nodes:
            self._combo.addItem(node.GetName() or "", node.GetID())
        current = self._current if self._current in nodes else None
        if current is None and not self._flags["noneEnabled"] and nodes:
            current = nodes[0]  # as in Slicer: without "None" the first one is chosen
        self._select(current)

    def _renamed(self, caller, event):
        try:
            index = self._combo.findData(caller.GetID())
        except RuntimeError:
            self._forget()
            return
        if index >= 0 and self._combo.itemText(index) != caller.GetName():
            self._combo.setItemText(index, caller.GetName() or "")

    def _select(self, node):
        self._combo.setCurrentIndex(
            max(self._combo.findData(node.GetID() if node else ""), 0 if not node else -1)
        )
        if node is not self._current:
            self._current = node
            self.currentNodeChanged.emit(node)
            self.currentNodeIDChanged.emit(node.GetID() if node else "")

    def _chosen(self, index):
        self._select(
            self._scene.GetNodeByID(self._combo.itemData(index)) if self._combo.itemData(index) else None
        )

    def currentNode(self):
        return self._current

    def setCurrentNode(self, node):
        self._select(node if node is not None and self._suits(node) else None)

    def setCurrentNodeID(self, node_id):
        self.setCurrentNode(self._scene.GetNodeByID(node_id) if node_id and self._scene else None)

    def currentNodeIDText(self):
        return self._current.GetID() if self._current else ""

    def nodeCount(self):
        return len(self._offered())

    def addAttribute(self, node_type, key, value=None):
        self._attributes.append((node_type, key, value))
        self._fill()

    def addNode(self, node_type=""):
        node = self._scene.AddNewNodeByClass(node_type or self._types[0])
        self._select(node)
        self.nodeAddedByUser.emit(node)
        return node

    def setNodeTypes(self, types):
        self._types = list(types)
        self._fill()

    def _setFlag(self, name, value):
        self._flags[name] = value
        self._fill()

    nodeTypes = Property("QStringList", lambda self: self._types, setNodeTypes)
    currentNodeID = Property(str, currentNodeIDText, setCurrentNodeID)
    noneEnabled = _flag("noneEnabled")
    noneDisplay = _flag("noneDisplay", str)
    addEnabled = _flag("addEnabled")
    removeEnabled = _flag("removeEnabled")
    renameEnabled = _flag("renameEnabled")
    editEnabled = _flag("editEnabled")
    showHidden = _flag("showHidden")
    showChildNodeTypes = _flag("showChildNodeTypes")
    selectNodeUponCreation = _flag("selectNodeUponCreation")

    def setNoneEnabled(self, value):
        self.noneEnabled = value

    def setAddEnabled(self, value):
        self.addEnabled = value

    def setRemoveEnabled(self, value):
        self.removeEnabled = value
