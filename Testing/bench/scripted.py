"""Scripted modules: `slicer.ScriptedLoadableModule`, and what Slicer wraps around a module and its widget."""

# ruff: noqa: N801 - the names are those of Slicer and CTK

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import slicer
from PySide6.QtWidgets import QVBoxLayout

from bench.qmrml_widgets import qMRMLWidget


class ScriptedLoadableModule:
    def __init__(self, parent):
        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title, parent.helpText, parent.acknowledgementText = "", "", ""
        parent.categories, parent.dependencies, parent.contributors = [], [], []

    def resourcePath(self, filename):
        return str(Path(self.parent.path).parent / "Resources" / filename)


class ScriptedLoadableModuleWidget:
    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue(
            "Developer/DeveloperMode", False, converter=slicer.util.toBool
        )
        self.parent = parent or _empty_widget()
        self.layout = self.parent.layout()
        if parent is None:
            self.setup()
            self.parent.show()
        slicer.app.moduleManager().connect(
            "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
        )

    def resourcePath(self, filename):
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self):
        """Slicer adds its reload buttons here for developers."""

    def cleanup(self):
        """For the module's own."""

    def onReload(self):
        slicer.util.reloadScriptedModule(self.moduleName)

    def _onModuleAboutToBeUnloaded(self, moduleName):
        if moduleName == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect(
                "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
            )


class ScriptedLoadableModuleLogic:
    def __init__(self, parent=None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
            if node is not None and node.GetAttribute("ModuleName") != self.moduleName:
                node.SetAttribute("ModuleName", self.moduleName)
        else:
            node = next(iter(self.getAllParameterNodes()), None)
        return node or slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self):
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self):
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)  # its maker's reference; ours keeps it
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


def _empty_widget():
    widget = qMRMLWidget()
    QVBoxLayout(widget)
    widget.setMRMLScene(slicer.mrmlScene)
    return widget


class qSlicerScriptedLoadableModule:
    """What a module's constructor gets as its parent: it takes these names and no others."""

    __slots__ = (
        *("_widget", "acknowledgementText", "associatedNodeTypes", "categories", "contributors"),
        *("dependencies", "helpText", "hidden", "icon", "index", "name", "path", "title"),
    )

    def __init__(self, path: Path):
        self.path, self.name, self._widget = str(path), path.stem, None

    def widgetRepresentation(self):
        if self._widget is None:
            self._widget = qSlicerScriptedLoadableModuleWidget(self)
            self._widget.setup()
        return self._widget


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The widget around a scripted module's panel."""

    def __init__(self, module):
        qMRMLWidget.__init__(self)
        self._module, self._python = module, None
        QVBoxLayout(self)
        self.setMRMLScene(slicer.mrmlScene)

    def setup(self):
        """Make the Python widget in here; also what a reload does."""
        name = self._module.name
        self._python = getattr(sys.modules[name], name + "Widget")(self)
        setattr(slicer.modules, name + "Widget", self._python)
        self._python.setup()

    reload = setup

    def self(self):
        return self._python

    def enter(self):
        getattr(self._python, "enter", lambda: None)()

    def exit(self):
        getattr(self._python, "exit", lambda: None)()


def load(path: Path) -> qSlicerScriptedLoadableModule:
    """Load a module as Slicer does at its start: the file is run, the module's class is made."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    python = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = python
    spec.loader.exec_module(python)
    module = qSlicerScriptedLoadableModule(path)
    setattr(slicer.modules, path.stem + "Instance", getattr(python, path.stem)(module))
    setattr(slicer.modules, path.stem.lower(), module)
    return module


def install() -> None:
    """Make `slicer.ScriptedLoadableModule` importable, and Slicer's C++ classes known by their names."""
    module = ModuleType("slicer.ScriptedLoadableModule")
    for each in (ScriptedLoadableModule, ScriptedLoadableModuleWidget, ScriptedLoadableModuleLogic):
        setattr(module, each.__name__, each)
    sys.modules[module.__name__] = slicer.ScriptedLoadableModule = module
    slicer.qSlicerScriptedLoadableModule = qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = qSlicerScriptedLoadableModuleWidget
