"""Boxes that would wait for a person: recorded, and answered from what a test set beforehand."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from PySide6 import QtWidgets

Button = QtWidgets.QMessageBox.StandardButton
YES = (Button.Yes, Button.Ok, Button.Retry, Button.Save)


@dataclass(frozen=True)
class Message:
    """What was shown: "error", "warning", "info", "question", "file", "delay" or "status"."""

    kind: str
    text: str
    details: str = ""


@dataclass
class Boxes:
    """The boxes of a bench. Answers are taken in order; without one a question is answered with yes."""

    modal: bool = False
    messages: list = field(default_factory=list)
    answers: list = field(default_factory=list)

    def answer(self, default):
        """The next answer that was set, or the default."""
        return self.answers.pop(0) if self.answers else default

    def message(self, kind: str, text: str, details: str = "") -> None:
        """Record what is shown."""
        self.messages.append(Message(kind, str(text), str(details)))

    def button(self, buttons) -> Button:
        """The button that is pressed: True is yes or OK, False is no or cancel, a button is itself."""
        answer = self.answer(True)
        if not isinstance(answer, bool):
            return answer
        offered = [button for button in Button if button.value and button & Button(buttons)]
        chosen = [button for button in offered if (button in YES) is answer]
        return (chosen or offered or [Button.Ok])[-1 if answer is False else 0]

    def install(self) -> None:
        """Replace what would block: QMessageBox, QFileDialog, every dialog's exec."""
        for kind in ("about", "critical", "information", "question", "warning"):
            setattr(QtWidgets.QMessageBox, kind, staticmethod(self._static(kind)))
        for name in ("getExistingDirectory", "getOpenFileName", "getOpenFileNames", "getSaveFileName"):
            setattr(QtWidgets.QFileDialog, name, staticmethod(self._file(name)))
        QtWidgets.QDialog.exec = QtWidgets.QDialog.exec_ = self._exec(QtWidgets.QDialog.exec)

    def _static(self, kind: str):
        original = getattr(QtWidgets.QMessageBox, kind)
        kinds = {"critical": "error", "information": "info", "about": "info"}

        def show(parent, title, text, buttons=Button.Ok, default=Button.NoButton):
            self.message(kinds.get(kind, kind), text)
            if self.modal:
                return original(parent, title, text, *(() if kind == "about" else (buttons, default)))
            return self.button(buttons)

        return show

    def _file(self, name: str):
        original = getattr(QtWidgets.QFileDialog, name)

        def choose(parent=None, caption="", folder="", *rest):
            self.message("file", caption)
            if self.modal:
                answer = original(parent, caption, folder, *rest)
            else:
                answer = self.answer([] if name.endswith("s") else "")
            return answer[0] if isinstance(answer, tuple) else answer  # PythonQt leaves the filter out

        return choose

    def _exec(self, original):
        def exec_(dialog):
            is_box = isinstance(dialog, QtWidgets.QMessageBox)
            self.message("dialog", dialog.text if is_box else dialog.windowTitle)
            if self.modal:
                return original(dialog)
            return self.button(dialog.standardButtons) if is_box else int(bool(self.answer(True)))

        return exec_

    def slicer_box(self, level, text, returned, mainWindowNeeded=False, parent=None, **keywords):
        """What slicer.util's errorDisplay, confirmOkCancelDisplay and the like come down to."""
        kinds = {logging.ERROR: "error", logging.WARNING: "warning"}
        kind = "question" if returned else kinds.get(level, "info")
        self.message(kind, text, keywords.get("detailedText", ""))
        buttons = keywords.get("standardButtons", Button.Ok)
        if self.modal:
            box = QtWidgets.QMessageBox(parent)
            box.text, box.standardButtons = str(text), buttons
            return original_exec(box)
        return self.button(buttons) if kind == "question" else Button.Ok


original_exec = QtWidgets.QDialog.exec
