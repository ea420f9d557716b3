"""The module `ctk`: stand-ins for the widgets of the Common Toolkit that a panel uses."""

# ruff: noqa: N801 - the names are those of Slicer and CTK

from __future__ import annotations

import sys
from types import ModuleType

from PySide6.QtCore import Property, QEvent, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QSlider,
    QToolButton,
    QWidget,
)

HEADER = (
    "QToolButton { border: 1px solid palette(mid); border-radius: 3px; padding: 4px; text-align: left;"
    " background: palette(button); } QToolButton:hover { background: palette(midlight); }"
)


class ctkCollapsibleButton(QWidget):
    """A header that folds what lies below it."""

    contentsCollapsed = Signal(bool)
    toggled = Signal(bool)
    clicked = Signal(bool)

    def __init__(self, parent=None):
        QWidget.__init__(self, parent)
        self._collapsed = False
        self._header = QToolButton(self)
        self._header.setObjectName("qt_header")
        self._header.setStyleSheet(HEADER)
        self._header.setToolButtonStyle(Qt.ToolButtonTextBesideIcon)
        self._header.setArrowType(Qt.DownArrow)
        self._header.clicked.connect(self._click)
        self.setContentsMargins(0, self._header.sizeHint().height() + 2, 0, 0)
        self.setSizePolicy(QSizePolicy.Preferred, QSizePolicy.Preferred)

    def _click(self, checked=False):
        self.setCollapsed(not self._collapsed)
        self.clicked.emit(not self._collapsed)

    def resizeEvent(self, event):
        self._header.setGeometry(0, 0, self.width, self._header.sizeHint().height())

    def event(self, event):
        if event.type() == QEvent.ChildPolished and self._collapsed:
            self._show_children()
        return QWidget.event(self, event)

    def _show_children(self):
        for child in self.children():
            if isinstance(child, QWidget) and child is not self._header:
                child.setVisible(not self._collapsed)

    def setCollapsed(self, collapsed):
        if collapsed == self._collapsed:
            return
        self._collapsed = bool(collapsed)
        self._header.setArrowType(Qt.RightArrow if collapsed else Qt.DownArrow)
        self._show_children()
        self.setMaximumHeight(self._header.sizeHint().height() + 2 if collapsed else 16777215)
        self.contentsCollapsed.emit(self._collapsed)
        self.toggled.emit(not self._collapsed)

    def setText(self, text):
        self._header.setText(text)

    def setChecked(self, checked):
        self.setCollapsed(not checked)

    def isChecked(self):
        return not self._collapsed

    collapsed = Property(bool, lambda self: self._collapsed, setCollapsed)
    checked = Property(bool, isChecked, setChecked)
    text = Property(str, lambda self: self._header.text, setText)


class ctkDoubleSlider(QWidget):
    """A slider of real numbers."""

    valueChanged = Signal(float)

    def __init__(self, parent=None):
        QWidget.__init__(self, parent)
        self._value, self._minimum, self._maximum, self._step = 0.0, 0.0, 99.0, 1.0
        self._slider = QSlider(Qt.Horizontal, self)
        self._slider.setObjectName("qt_slider")
        self._slider.valueChanged.connect(self._moved)
        QHBoxLayout(self).addWidget(self._slider)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self._scale()

    def _moved(self, position):
        self.setValue(self._minimum + position * self._step)

    def _scale(self):
        self._slider.blockSignals(True)
        self._slider.setRange(0, round((self._maximum - self._minimum) / self._step))
        self._slider.setValue(round((self._value - self._minimum) / self._step))
        self._slider.blockSignals(False)

    def setValue(self, value):
        value = min(max(float(value), self._minimum), self._maximum)
        changed, self._value = value != self._value, value
        self._scale()
        if changed:
            self.valueChanged.emit(value)

    def setMinimum(self, minimum):
        self._minimum = float(minimum)
        self.setValue(self._value)

    def setMaximum(self, maximum):
        self._maximum = float(maximum)
        self.setValue(self._value)

    def setSingleStep(self, step):
        self._step = float(step)
        self._scale()

    value = Property(float, lambda self: self._value, setValue)
    minimum = Property(float, lambda self: self._minimum, setMinimum)
    maximum = Property(float, lambda self: self._maximum, setMaximum)
    singleStep = Property(float, lambda self: self._step, setSingleStep)


class ctkSliderWidget(ctkDoubleSlider):
    """A slider with a spin box beside it."""

    def __init__(self, parent=None):
        ctkDoubleSlider.__init__(self, parent)
        self._spin = QDoubleSpinBox(self)
        self._spin.setObjectName("qt_spin")
        self._spin.setMaximum(99)
        self._spin.valueChanged.connect(self.setValue)
        self.layout().addWidget(self._spin)

    def _scale(self):
        ctkDoubleSlider._scale(self)
        if hasattr(self, "_spin"):
            self._spin.blockSignals(True)
            self._spin.setRange(self._minimum, self._maximum)
            self._spin.setSingleStep(self._step)
            self._spin.setValue(self._value)
            self._spin.blockSignals(False)

    def setDecimals(self, decimals):
        self._spin.setDecimals(decimals)

    def setSuffix(self, suffix):
        self._spin.setSuffix(suffix)

    decimals = Property(int, lambda self: self._spin.decimals, setDecimals)
    suffix = Property(str, lambda self: self._spin.suffix, setSuffix)


class ctkDirectoryButton(QPushButton):
    """A button that shows a folder and asks for another."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)

    def __init__(self, parent=None):
        QPushButton.__init__(self, parent)
        self._directory = ""
        self.clicked.connect(self._choose)

    def _choose(self, checked=False):
        if folder := QFileDialog.getExistingDirectory(self, "", self._directory):
            self.setDirectory(folder)
            self.directorySelected.emit(folder)

    def setDirectory(self, directory):
        if directory != self._directory:
            self._directory = str(directory)
            self.setText(self._directory)
            self.directoryChanged.emit(self._directory)

    directory = Property(str, lambda self: self._directory, setDirectory)


class ctkPathLineEdit(QLineEdit):
    """A line with a path."""

    currentPathChanged = Signal(str)

    def __init__(self, parent=None):
        QLineEdit.__init__(self, parent)
        self.textChanged.connect(self.currentPathChanged)

    def setCurrentPath(self, path):
        self.setText(str(path))

    currentPath = Property(str, lambda self: self.text, setCurrentPath)


class ctkSearchBox(QLineEdit):
    """A line to search by."""

    def __init__(self, parent=None):
        QLineEdit.__init__(self, parent)
        self.setClearButtonEnabled(True)


class ctkMessageBox(QMessageBox):
    """A box; the check box "do not show again" is left out."""


class ctkComboBox(QComboBox):
    """A combo box."""


class ctkCheckBox(QCheckBox):
    """A check box."""


WIDGETS = [
    value
    for value in list(globals().values())
    if isinstance(value, type) and value.__name__.startswith("ctk")
]


def install() -> None:
    """Make `import ctk` work; what is not here raises AttributeError, as everywhere."""
    module = ModuleType("ctk", "The Common Toolkit's widgets, as far as the bench has them")
    for widget in WIDGETS:
        setattr(module, widget.__name__, widget)
    sys.modules["ctk"] = module
