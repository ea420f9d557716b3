"""Widgets that a parameter can be connected with, and how: those that Slicer has a connector for."""

from __future__ import annotations

import enum
from pathlib import Path

import slicer
from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QLineEdit, QPushButton, QSpinBox

from bench.ctk_widgets import ctkDirectoryButton, ctkPathLineEdit
from bench.qmrml_combo import qMRMLNodeComboBox


class Connector:
    """Reads and writes one property of a widget and listens to one of its signals."""

    def __init__(self, widget, member: str, signal: str, kind=lambda value: value):
        self.widget, self.member, self.signal, self.kind = widget, member, getattr(widget, signal), kind
        self.slot = None

    def read(self):
        return self.kind(getattr(self.widget, self.member))

    def write(self, value):
        if self.read() != value:
            setattr(self.widget, self.member, value if isinstance(value, bool | int | float) else str(value))

    def onChanged(self, callback):
        if self.slot is not None:
            self.signal.disconnect(self.slot)
        self.slot = (lambda value=None: callback()) if callback else None
        if self.slot is not None:
            self.signal.connect(self.slot)


class NodeConnector(Connector):
    def read(self):
        return self.widget.currentNode()

    def write(self, value):
        self.widget.setCurrentNode(value)


class ComboConnector(Connector):
    """An enum by its names, or a choice by its values."""

    def __init__(self, widget, parameter):
        Connector.__init__(self, widget, "currentIndex", "currentIndexChanged")
        self.values = parameter.choices or list(parameter.kind)
        widget.clear()
        for value in self.values:
            widget.addItem(value.name if isinstance(value, enum.Enum) else str(value))

    def read(self):
        return self.values[self.widget.currentIndex]

    def write(self, value):
        self.widget.setCurrentIndex(self.values.index(value))


KINDS = (
    (ctkDirectoryButton, (Path, str), "directory", "directoryChanged"),
    (ctkPathLineEdit, (Path, str), "currentPath", "currentPathChanged"),
    (QSpinBox, (int,), "value", "valueChanged"),
    (QDoubleSpinBox, (float,), "value", "valueChanged"),
    (QCheckBox, (bool,), "checked", "toggled"),
    (QPushButton, (bool,), "checked", "toggled"),
    (QLineEdit, (str,), "text", "textChanged"),
)


def connector(widget, parameter) -> Connector:
    """The connector of a widget and a parameter; an error where Slicer has none."""
    kind = parameter.kind
    if not parameter.optional:
        if isinstance(widget, qMRMLNodeComboBox) and issubclass(kind, slicer.vtkMRMLNode):
            return NodeConnector(widget, "enabled", "currentNodeChanged")
        if isinstance(widget, QComboBox) and (parameter.choices or issubclass(kind, enum.Enum)):
            return ComboConnector(widget, parameter)
        for cls, kinds, member, signal in KINDS:
            if isinstance(widget, cls) and kind in kinds and not parameter.item:
                return Connector(widget, member, signal, kind)
    raise TypeError(
        f"Unable to create GUI connector from {type(widget).__name__} to {parameter.name} ({kind}):"
        " sliders need bounds, a QComboBox an Enum or Choice, and Optional has none"
    )
