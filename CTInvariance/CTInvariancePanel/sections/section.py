"""What all sections of the panel have in common: a title that folds them away, and a layout from a .ui file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import Cancelled, CTInvarianceError

_NARROWEST = 40  # pixels


class Panel(Protocol):
    """What a section asks of the panel that it is part of.

    Attributes:
        logic: does the work.
        parameters: what the panel is set to.
        resources: the extension's Resources folder.
        data: section that lists series and volumes.
        train: section that trains on what is ticked there.
        setup: section that knows whether everything is installed.
        explore: section that follows jobs.
        results: section that lists the samples.
    """

    logic: Any
    parameters: Any
    resources: Path
    setup: Any
    data: Any
    train: Any
    explore: Any
    results: Any

    def say(self, text: str, *, stays: bool = False) -> None:
        """Tell what is being done, or has been done: for some seconds, or until something else is told."""

    def showError(self, text: str) -> None:
        """Tell what went wrong."""

    def useVolume(self, node: Any, fullDose: Any = None) -> None:
        """Make a volume the one that is explored, and show it; its partner with it, where there is one."""


class Section:
    """One part of the panel.

    Args:
        panel: that it is part of.
        name: of its .ui file.
        title: for people.
        tip: for people.

    Attributes:
        ui: the widgets of the .ui file by name.
        button: folds the section.
    """

    def __init__(self, panel: Panel, name: str, title: str, tip: str) -> None:
        self.panel, self.logic = panel, panel.logic
        self.button = ctk.ctkCollapsibleButton()
        self.button.text = title
        self.button.setToolTip(tip)
        self.button.objectName = f"{name}Section"
        widget = slicer.util.loadUI(str(panel.resources / "UI" / f"{name}.ui"))
        widget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(widget)
        _letShrink(self.ui)
        column = qt.QVBoxLayout(self.button)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(widget)
        self.setup()

    @property
    def parameters(self) -> Any:
        """What the panel is set to."""
        return self.panel.parameters

    def setup(self) -> None:
        """Connect the widgets."""

    def enter(self) -> None:
        """The panel has come into view."""

    def cleanup(self) -> None:
        """The panel goes away for good."""

    def onClick(self, button: Any, action: Callable[[], object]) -> None:
        """Do something when a button is pressed, and tell people when it cannot be done."""
        button.clicked.connect(lambda checked=False: self.attempt(action))

    def attempt(self, action: Callable[[], object]) -> Any:
        """Do something; what goes wrong is shown, as errors of slots are seen by nobody."""
        try:
            return action()
        except Cancelled:
            return None
        except CTInvarianceError as error:
            self.panel.showError(str(error))
        except Exception as error:
            import traceback

            self.logic.log(traceback.format_exc())
            self.panel.showError(_("{}: {}. Details are in the log.").format(type(error).__name__, error))
        return None


def _letShrink(ui: Any) -> None:
    """Let widgets become narrower than their texts, so that the panel has room whatever fonts and names there are."""
    for each in vars(ui).values():
        if not each.inherits("QWidget") or each.inherits("QToolButton"):  # which is a sign of one letter
            continue
        if each.layout() is None or each.inherits("qMRMLNodeComboBox"):  # not those that hold others
            each.setMinimumWidth(_NARROWEST)
