"""Stand-ins for the widgets that play a sequence, on the real browser node."""

# ruff: noqa: N801 - the names are those of Slicer and CTK

from __future__ import annotations

import vtk
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QToolButton, QWidget
from shiboken6 import Shiboken


class _Player(QWidget):
    """A widget that follows a sequence browser node."""

    def __init__(self, parent=None):
        QWidget.__init__(self, parent)
        self._browser, self._tag = None, None
        self._build(QHBoxLayout(self))
        self.layout().setContentsMargins(0, 0, 0, 0)

    def setMRMLScene(self, scene):
        """Nothing to do: the browser node knows its scene."""

    def mrmlSequenceBrowserNode(self):
        return self._browser

    def setMRMLSequenceBrowserNode(self, node):
        if self._browser is not None:
            self._browser.RemoveObserver(self._tag)
        self._browser = node
        if node is not None:
            self._tag = node.AddObserver(
                vtk.vtkCommand.ModifiedEvent, lambda caller, event: Shiboken.isValid(self) and self._follow()
            )
        self._follow()


class qMRMLSequenceBrowserSeekWidget(_Player):
    """Slider over a sequence's items, with the value of the index beside it."""

    def _build(self, layout):
        self._slider = QSlider(Qt.Horizontal, self)
        self._slider.setObjectName("slider_IndexValue")
        self._slider.valueChanged.connect(self._moved)
        self._label = QLabel(self)
        self._label.setObjectName("label_IndexValue")
        layout.addWidget(self._slider)
        layout.addWidget(self._label)

    def _moved(self, value):
        if self._browser is not None:
            self._browser.SetSelectedItemNumber(value)

    def _follow(self):
        node = self._browser
        self.setEnabled(node is not None and node.GetNumberOfItems() > 0)
        self._slider.blockSignals(True)
        self._slider.setRange(0, max(node.GetNumberOfItems() - 1, 0) if node else 0)
        self._slider.setValue(node.GetSelectedItemNumber() if node else 0)
        self._slider.blockSignals(False)
        self._label.setText(node.GetFormattedIndexValue(node.GetSelectedItemNumber()) if self.enabled else "")


class qMRMLSequenceBrowserPlayWidget(_Player):
    """Buttons: first, previous, play, next, last."""

    def _build(self, layout):
        self._timer = QTimer(self)
        self._timer.timeout.connect(lambda: self._browser and self._browser.SelectNextItem(1))
        actions = (
            ("pushButton_VcrFirst", "|<", lambda: self._go(0)),
            ("pushButton_VcrPrevious", "<", lambda: self._browser.SelectNextItem(-1)),
            (
                "pushButton_VcrPlayPause",
                ">>",
                lambda: self._browser.SetPlaybackActive(not self._timer.active),
            ),
            ("pushButton_VcrNext", ">", lambda: self._browser.SelectNextItem(1)),
            ("pushButton_VcrLast", ">|", lambda: self._go(-1)),
        )
        for name, text, act in actions:
            button = QToolButton(self)
            button.setObjectName(name)
            button.setText(text)
            button.clicked.connect(lambda checked=False, act=act: self._browser and act())
            layout.addWidget(button)

    def _go(self, end):
        self._browser.SetSelectedItemNumber(end % self._browser.GetNumberOfItems())

    def _follow(self):
        node = self._browser
        self.setEnabled(node is not None and node.GetNumberOfItems() > 0)
        if node is None or not node.GetPlaybackActive():
            self._timer.stop()
        elif not self._timer.active:
            self._timer.start(round(1000 / max(node.GetPlaybackRateFps(), 0.1)))
