"""Slicer's widgets that know a scene."""

# ruff: noqa: N801 - the names are those of Slicer and CTK

from __future__ import annotations

import slicer
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from bench.qmrml_combo import qMRMLNodeComboBox
from bench.qmrml_sequences import qMRMLSequenceBrowserPlayWidget, qMRMLSequenceBrowserSeekWidget


class qMRMLWidget(QWidget):
    """A widget that hands its scene on to those inside it."""

    mrmlSceneChanged = Signal("PyObject")

    def __init__(self, parent=None):
        QWidget.__init__(self, parent)
        self._scene = None

    def mrmlScene(self):
        return self._scene

    def setMRMLScene(self, scene):
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)
        for child in self.findChildren(QWidget):
            if isinstance(child, qMRMLNodeComboBox):
                child.setMRMLScene(scene)


class qSlicerWidget(qMRMLWidget):
    """The same, by its other name."""


WIDGETS = (
    qMRMLWidget,
    qSlicerWidget,
    qMRMLNodeComboBox,
    qMRMLSequenceBrowserSeekWidget,
    qMRMLSequenceBrowserPlayWidget,
)


def install() -> None:
    """Put the widgets where Slicer has them: `slicer.qMRMLNodeComboBox`."""
    for widget in WIDGETS:
        setattr(slicer, widget.__name__, widget)
