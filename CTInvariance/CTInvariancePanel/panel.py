"""The panel: its sections one below the other, and what they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .sections import DataSection, ExploreSection, LogSection, ResultsSection, SetupSection, TrainSection
from .views import registerLayouts, registerTraining, showVolume

SAID_MS = 8000
"""How long people may read what has been done."""


class Panel:
    """All sections in a layout.

    Args:
        layout: Qt layout that they are added to.
        logic: does the work.
        parameters: what the panel is set to.
        resources: the extension's Resources folder.
    """

    def __init__(self, layout: Any, logic: Any, parameters: Any, resources: Path) -> None:
        self.logic, self.parameters, self.resources = logic, parameters, resources
        # A scene that was saved while volumes were compared opens in that layout.
        layoutNode = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
        registerLayouts(layoutNode)
        registerTraining(layoutNode)
        self.message = qt.QLabel()
        self.message.objectName = "messageLabel"
        self.message.setToolTip(_("What happened last"))
        self.message.setTextFormat(qt.Qt.PlainText)  # it tells of names and paths from files
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
        self.message.setMinimumWidth(1)  # a name may be one long word
        self.message.setVisible(False)
        layout.addWidget(self.message)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._forget)
        self._gone = False
        self.setup = SetupSection(self)
        self.data = DataSection(self)
        self.results = ResultsSection(self)  # Explore shows its samples there
        self.explore = ExploreSection(self)
        self.train = TrainSection(self)  # what it has trained is explored
        self.log = LogSection(self)
        self.sections = (self.setup, self.data, self.train, self.explore, self.results, self.log)
        for section in self.sections:
            layout.addWidget(section.button)
        layout.addStretch(1)

    def setParameters(self, parameters: Any) -> None:
        """Take the settings of another scene."""
        self.parameters = parameters
        self.explore.bind()
        self.results.refresh()

    def enter(self) -> None:
        """The panel has come into view."""
        for section in self.sections:
            section.enter()

    def cleanup(self) -> None:
        """The panel goes away for good."""
        for section in self.sections:
            section.cleanup()
        self._gone = True  # sections may have said something to the end
        self._timer.stop()

    def say(self, text: str, *, stays: bool = False) -> None:
        """Tell what is being done, or has been done: for some seconds, or until something else is told."""
        self._tell(text, "")
        if text and not stays and not self._gone:
            self._timer.start(SAID_MS)

    def showError(self, text: str) -> None:
        """Tell what went wrong, where one looks, without a box that must be clicked away; it stays."""
        self.logic.log(text)
        sentence = text[:1].upper() + text[1:]
        self._tell(sentence, "background: #f8d7da; color: #5c1a21; padding: 6px; border-radius: 3px;")

    def useVolume(self, node: Any, fullDose: Any = None) -> None:
        """Make a volume the one that is explored, and show it.

        Args:
            node: the volume.
            fullDose: its partner; None: there is none, but what was chosen for this volume before stays.
        """
        p = self.parameters
        with slicer.util.NodeModify(p.parameterNode):
            if fullDose is not None or node is not p.inputVolume:
                p.fullDoseVolume = fullDose
            p.inputVolume = node
        showVolume(node)

    def _forget(self) -> None:
        if self.message.parentWidget().underMouse():  # nothing moves away from under it
            self._timer.start(SAID_MS)
        else:
            self._tell("", "")

    def _tell(self, text: str, style: str) -> None:
        self._timer.stop()
        self.message.setStyleSheet(style)
        self.message.setText(text)
        self.message.setVisible(bool(text))
