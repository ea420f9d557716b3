"""The panel: its sections one below the other, and what they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .sections import DataSection, ExploreSection, LogSection, ResultsSection, SetupSection
from .views import registerLayouts


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
        registerLayouts(slicer.app.layoutManager().layoutLogic().GetLayoutNode())
        self.message = qt.QLabel()
        self.message.objectName = "messageLabel"
        self.message.setToolTip(_("What happened last"))
        self.message.setTextFormat(qt.Qt.PlainText)  # it tells of names and paths from files
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
        self.message.setVisible(False)
        layout.addWidget(self.message)
        self.setup = SetupSection(self)
        self.data = DataSection(self)
        self.results = ResultsSection(self)  # Explore shows its samples there
        self.explore = ExploreSection(self)
        self.log = LogSection(self)
        # The section for training has its place between Data and Explore.
        self.sections = (self.setup, self.data, self.explore, self.results, self.log)
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

    def say(self, text: str) -> None:
        """Tell what has been done."""
        self._tell(text, "")

    def showError(self, text: str) -> None:
        """Tell what went wrong, where one looks, without a box that must be clicked away."""
        self.logic.log(text)
        sentence = text[:1].upper() + text[1:]
        self._tell(sentence, "background: #f8d7da; color: #5c1a21; padding: 6px; border-radius: 3px;")

    def useVolume(self, node: Any) -> None:
        """Make a volume the one that is explored, and show it."""
        self.parameters.inputVolume = node
        slicer.util.setSliceViewerLayers(background=node, fit=True)

    def _tell(self, text: str, style: str) -> None:
        self.message.setStyleSheet(style)
        self.message.setText(text)
        self.message.setVisible(bool(text))
