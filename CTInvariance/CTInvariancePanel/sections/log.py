"""Section Log: what worker and panel have to say, capped, to be copied into a report."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from .section import Section


class LogSection(Section):
    """Follows the logic's log."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel, "Log", _("Log"), _("What the worker and the panel have to say"))
        self.button.collapsed = True

    def setup(self) -> None:
        """Show what is there, then every new line."""
        self.ui.logText.setPlainText(self.logic.logText)
        self.logic.whenLogged(self._add)
        self.onClick(self.ui.copyButton, self._copy)
        self.onClick(self.ui.clearButton, self.ui.logText.clear)

    def _add(self, line: str) -> None:
        self.ui.logText.appendPlainText(line)

    def _copy(self) -> None:
        qt.QApplication.clipboard().setText(self.ui.logText.toPlainText())
