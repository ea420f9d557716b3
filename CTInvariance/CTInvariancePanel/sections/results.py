"""Section Results: which samples there are, scrubbing through them, pinning one, comparing side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .. import words
from ..nodes import factsOf, samples
from ..views import layout
from .section import Section


class ResultsSection(Section):
    """Table of all samples in the scene; the selected row is what the other widgets are about.

    Attributes:
        whenSelected: called with the result that is looked at, or None, also when there are more figures of it.
    """

    def __init__(self, panel: Any) -> None:
        self.results: list[Any] = []
        self.current: Any = None
        self.whenSelected: Callable[[Any], object] = lambda result: None
        super().__init__(panel, "Results", _("Results"), _("Samples, their mean and standard deviation"))

    def setup(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        ui.resultsTable.itemSelectionChanged.connect(self._onSelection)
        ui.sampleSlider.valueChanged.connect(self._show)
        ui.overlaySlider.valueChanged.connect(lambda value: layout.setStdOverlay(value / 100))
        ui.playButton.toggled.connect(self._play)
        self.onClick(ui.pinButton, self._pin)
        self.onClick(ui.compareButton, self.compare)
        self.onClick(ui.leaveButton, layout.leaveCompare)
        header = ui.resultsTable.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        header.setHighlightSections(False)  # bold is wider
        ui.resultsTable.verticalHeader().setVisible(False)
        self._timer = qt.QTimer()
        self._timer.setInterval(100)
        self._timer.timeout.connect(self._next)
        self.refresh()

    def enter(self) -> None:
        """Nodes may have come and gone meanwhile."""
        self.refresh()

    def cleanup(self) -> None:
        """Stop playing."""
        self._timer.stop()

    def refresh(self, select: Any = None) -> None:
        """Read the scene again.

        Args:
            select: the result that is to be looked at; None: the same as before.
        """
        before = self.current
        self._list(select or before)
        if self.current is not None and before is not None and self.current.browser is not before.browser:
            self._follow()

    def show(self, result: Any) -> None:
        """List a new result, and lay it out side by side."""
        self._list(result)
        self.compare()

    def _follow(self) -> None:
        """Another row is selected: if volumes are compared, its volumes are."""
        if layout.isComparing():
            self.attempt(self.compare)

    def _list(self, wanted: Any) -> None:
        self.results = samples.resultsIn(slicer.mrmlScene)
        table = self.ui.resultsTable
        table.blockSignals(True)
        table.setRowCount(len(self.results))
        for row, result in enumerate(self.results):
            for column, text in enumerate(_cells(result)):
                table.setItem(row, column, qt.QTableWidgetItem(text))
        table.setMaximumHeight(34 + 26 * max(2, min(6, len(self.results))))
        rows = [k for k, each in enumerate(self.results) if wanted and each.browser is wanted.browser]
        row = rows[0] if rows else len(self.results) - 1
        if row >= 0:
            table.selectRow(row)
        table.blockSignals(False)
        self._select(self.results[row] if row >= 0 else None)

    def compare(self) -> None:
        """Lay the selected result out side by side."""
        if self.current is not None:
            self.logic.showCompareView(self.current)
            layout.setStdOverlay(self.ui.overlaySlider.value / 100)

    def _onSelection(self) -> None:
        row = self.ui.resultsTable.currentRow()
        if 0 <= row < len(self.results):
            self._select(self.results[row])
            self._follow()

    def _select(self, result: Any) -> None:
        self.current, ui = result, self.ui
        there = result is not None
        for widget in (
            ui.sampleSlider, ui.playButton, ui.pinButton, ui.compareButton, ui.leaveButton, ui.overlaySlider
        ):  # fmt: skip
            widget.setEnabled(there)
        count = result.sequence.GetNumberOfDataNodes() if there else 1
        ui.sampleSlider.setMaximum(count - 1)
        ui.sampleSlider.setValue(result.browser.GetSelectedItemNumber() if there else 0)
        self._label()
        self.whenSelected(result)

    def _show(self, number: int) -> None:
        if self.current is not None:
            self.current.browser.SetSelectedItemNumber(number)
            self._label()

    def _label(self) -> None:
        if self.current is None:
            self.ui.sampleLabel.setText("–")
            return
        count = self.current.sequence.GetNumberOfDataNodes()
        self.ui.sampleLabel.setText(f"{self.ui.sampleSlider.value + 1}/{count}")

    def _play(self, on: bool) -> None:
        if on:
            self._timer.start()
        else:
            self._timer.stop()

    def _next(self) -> None:
        slider = self.ui.sampleSlider
        slider.setValue(0 if slider.value >= slider.maximum else slider.value + 1)

    def _pin(self) -> None:
        node = samples.pinSample(self.current, self.ui.sampleSlider.value)
        self.panel.say(_("Kept as {}.").format(node.GetName()))


def _cells(result: Any) -> list[str]:
    facts = factsOf(result.browser)
    dose = {"low": _("low"), "full": _("full")}.get(facts.get("domain", ""), "")
    return [
        facts.get("denoiser", ""),
        facts.get("layer", ""),
        dose,
        _cell(facts, "tolerance", "{:g}"),
        _cell(facts, "spread", "{:.1f}"),
        _cell(facts, "arrives", "{:.1f}", lowDoseOnly=True),
        _cell(facts, "visibility", "{:.2f}", lowDoseOnly=True),
        facts.get("n", ""),
    ]


def _cell(facts: dict[str, str], key: str, form: str, *, lowDoseOnly: bool = False) -> str:
    """A figure; "…" where it is not measured yet, "–" where it has no meaning, as in draws of earlier versions."""
    if lowDoseOnly and facts.get("domain") == "full":
        return "–"
    value = words.numberOf(facts, key)
    if value is not None:
        return form.format(value)
    return "…" if "tolerance" in facts and "spread" not in facts else "–"
