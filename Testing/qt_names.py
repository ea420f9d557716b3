"""Which widgets people see and use."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QSlider,
    QWidget,
)

CONTROLS = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QSlider,
)


def controls(root: QWidget) -> list[QWidget]:
    """What can be operated, without what Qt puts inside such widgets."""
    return _outermost(root, CONTROLS)


def people_see(root: QWidget) -> list[QWidget]:
    """What needs a tooltip."""
    return _outermost(root, (*CONTROLS, QLabel, QProgressBar))


def by_keyboard(widget: QWidget) -> bool:
    """Whether Tab reaches it."""
    return bool(widget.focusPolicy & Qt.FocusPolicy.TabFocus)


def _outermost(root: QWidget, kinds) -> list[QWidget]:
    found = []
    for child in root.children():
        if isinstance(child, kinds) and not child.objectName.startswith("qt_"):
            found.append(child)
        if isinstance(child, QWidget) and not isinstance(child, CONTROLS):
            found += _outermost(child, kinds)
    return found
