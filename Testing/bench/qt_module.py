"""The module `qt`: PySide6's classes under one name, as PythonQt has them."""

from __future__ import annotations

import sys
from types import ModuleType

from PySide6 import QtCore

from bench import pythonqt

# What says nothing about the module: the screen that is not there; scenes, which qMRMLWidget hands on itself.
NOISE = ("propagateSizeHints", "::mrmlSceneChanged(", "QObject::connect:  (")
SINGULAR = {"Signal", "Slot", "Property"}


class QtModule(ModuleType):
    """Looks a class up when it is asked for; what PythonQt lacks raises AttributeError."""

    def __getattr__(self, name: str):
        if name.startswith("Q"):
            for module in pythonqt.MODULES:
                if hasattr(module, name):
                    return getattr(module, name)
        hint = "; PythonQt takes plain callbacks" if name in SINGULAR else ""
        raise AttributeError(f"module 'qt' has no '{name}'{hint}")


def _message(kind, context, text: str) -> None:
    if not any(noise in text for noise in NOISE):
        print(text, file=sys.stderr)


def install(folder: str) -> None:
    """Make `import qt` work; settings are files in this folder, never those of the person."""
    pythonqt.patch()
    sys.modules["qt"] = QtModule("qt", "Qt behind PythonQt's manners")
    QtCore.qInstallMessageHandler(_message)
    QtCore.QCoreApplication.setOrganizationName("NA-MIC")
    QtCore.QCoreApplication.setApplicationName("Slicer")
    QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
    QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, folder)
