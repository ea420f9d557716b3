"""`slicer.app` and `slicer.modules`: what an application without windows can answer."""

from __future__ import annotations

from pathlib import Path

import slicer
from PySide6.QtCore import QSettings
from PySide6.QtWidgets import QApplication

LOGICS = {
    "colors": "vtkSlicerColorLogic",
    "cropvolume": "vtkSlicerCropVolumeLogic",
    "markups": "vtkSlicerMarkupsLogic",
    "models": "vtkSlicerModelsLogic",
    "plots": "vtkSlicerPlotsLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "sequences": "vtkSlicerSequencesLogic",
    "tables": "vtkSlicerTablesLogic",
    "volumes": "vtkSlicerVolumesLogic",
}


class Application:
    """What Slicer's application object knows; the rest comes from the real QApplication."""

    applicationName = "Slicer"
    applicationVersion = "5.13.0"
    majorVersion, minorVersion, revision = 5, 13, "bench"

    def __init__(self, folder: str):
        self.temporaryPath = folder
        self.extensionsInstallPath = f"{folder}/Extensions"
        self._layout_manager = None
        self._module_manager = ModuleManager()
        self._logic = slicer.vtkSlicerApplicationLogic()
        # Where colour files would lie. Without, it complains about that when the process ends.
        Path(folder, "share", "ColorFiles").mkdir(parents=True)
        self._logic.SetHomeDirectory(folder)
        self._logic.SetShareDirectory("share")
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._cache, self._data_io = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
        self._cache.SetRemoteCacheDirectory(f"{folder}/cache")  # where a .mrb is unpacked
        self._data_io.SetCacheManager(self._cache)
        slicer.mrmlScene.SetCacheManager(self._cache)
        slicer.mrmlScene.SetDataIOManager(self._data_io)

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(QApplication.instance(), name)

    def layoutManager(self):
        return self._layout_manager

    def setLayoutManager(self, manager):
        self._layout_manager = manager

    def moduleManager(self):
        return self._module_manager

    def applicationLogic(self):
        return self._logic

    def mrmlScene(self):
        return slicer.mrmlScene

    def settings(self):
        return QSettings()

    userSettings = revisionUserSettings = settings

    def processEvents(self):
        QApplication.processEvents()

    def testingEnabled(self):
        return False

    def startupEnvironment(self):
        import os

        return dict(os.environ)

    def pauseRender(self):
        """Nothing renders by itself here."""

    resumeRender = pauseRender


class ModuleManager:
    """Modules by their names, and the one signal that modules listen to."""

    def __init__(self):
        self._listeners = []

    def module(self, name: str):
        return getattr(slicer.modules, name.lower(), None)

    def modulesNames(self):
        return [module.name for module in vars(slicer.modules).values() if hasattr(module, "name")]

    def connect(self, signal: str, slot) -> None:
        self._listeners.append((signal, slot))

    def disconnect(self, signal: str, slot) -> None:
        self._listeners.remove((signal, slot))

    def aboutToBeUnloaded(self, name: str) -> None:
        for _signal, slot in list(self._listeners):
            slot(name)


class CoreModule:
    """A module of Slicer's own: its real logic, no widget."""

    def __init__(self, name: str, logic):
        self.name, self.title, self._logic = name, name, logic

    def logic(self):
        return self._logic

    def widgetRepresentation(self):
        return None


class Modules:
    """`slicer.modules`: an attribute for every module, by its name in lower case."""

    def __init__(self, scene, application_logic):
        for name, class_name in LOGICS.items():
            logic = getattr(slicer, class_name)()
            logic.SetMRMLApplicationLogic(application_logic)
            logic.SetMRMLScene(scene)
            setattr(self, name, CoreModule(name, logic))
            application_logic.SetModuleLogic(name.capitalize(), logic)  # they find each other so
