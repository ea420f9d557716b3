"""Names and messages from files in the panel: Qt takes for HTML what looks like it, unless it is told not to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import qt
import slicer
from CTInvariancePanel.jobs import Job
from CTInvariancePanel.sections.tree_items import newItem
from CTInvariancePanel.words import plain, plainTip
from panel_bench import explore
from PySide6 import QtGui

PANEL = Path(__file__).parents[2] / "CTInvariance" / "CTInvariancePanel"
UI = PANEL.parents[1] / "Resources" / "UI"
HOSTILE = "<img src='file:///etc/passwd'><b>P001</b> & <a href='x'>y</a>"


def shown(html: str) -> str:
    """What Qt makes of a text in a place that takes HTML where it finds it."""
    if not QtGui.Qt.mightBeRichText(html):
        return html
    document = qt.QTextDocument()
    document.setHtml(html)
    return document.toPlainText()


def test_every_label_that_the_panel_writes_to_says_how_it_reads():
    written = set()
    for path in PANEL.rglob("*.py"):
        written |= set(re.findall(r"(\w+Label)\.(?:setText|text =)", path.read_text("utf-8")))
        written |= {"verdictLabel"}  # under another name
    assert {"placeLabel", "deviceLabel", "progressLabel"} <= written
    found = {}
    for path in UI.glob("*.ui"):
        for name, body in re.findall(
            r'<widget class="QLabel" name="(\w+)">(.*?)</widget>', path.read_text(), re.S
        ):
            found[name] = re.findall(r'name="textFormat"><enum>Qt::(\w+)<', body)
    rich = {name for name in written if found[name] == ["RichText"]}
    assert rich == {"verdictLabel", "requirementsLabel"}
    assert all(found[name] == ["PlainText"] for name in written - rich)


@pytest.mark.parametrize("tell", ["say", "showError"])
def test_messages_are_shown_as_they_are(panel, tell):
    _, widget = panel
    getattr(widget.panel, tell)(HOSTILE)
    assert widget.panel.message.text == HOSTILE
    assert widget.panel.message.textFormat == qt.Qt.PlainText


def test_tool_tips_and_dialogs_show_it_as_it_is(panel):
    assert shown(plainTip(HOSTILE)) == HOSTILE
    assert shown(plainTip("1.2.840")) == "1.2.840"
    assert shown(f"<b>{plain(HOSTILE)}</b>") == HOSTILE
    assert shown(newItem([HOSTILE, "", "", ""], HOSTILE).toolTip(0)) == HOSTILE


def test_the_dialog_of_a_job_shows_its_title_as_it_is(panel, monkeypatch):
    labels = []
    job = Job(HOSTILE)

    class Dialog(qt.QProgressDialog):
        def setLabelText(self, text):
            labels.append(text)

    def dialog(**options):
        labels.append(options["labelText"])
        qt.QTimer.singleShot(0, lambda: (job.update(stage=HOSTILE), job.update(state="done")))
        return Dialog()

    monkeypatch.setattr(slicer.util, "createProgressDialog", dialog)
    job.wait()
    assert [shown(each) for each in labels] == [HOSTILE, f"{HOSTILE}: {HOSTILE}"]


def test_an_error_about_a_file_with_such_a_name_is_shown_as_it_is(panel):
    _, widget = panel
    section = explore(*panel)
    section.parameters.inputVolume.SetName(HOSTILE)
    section.attempt(lambda: widget.logic.denoise(section.parameters.inputVolume, "no such denoiser"))
    assert "<b>" in widget.panel.message.text or "no such denoiser" in widget.panel.message.text
    assert widget.panel.message.textFormat == qt.Qt.PlainText
