"""Looking on while something is trained: its stages in the panel, its curves and an example in the views."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from CTInvarianceLib.config import EXAMPLE

from ..nodes import CHARTS, plot, readExample, showExample
from ..views import enterTraining, leaveTraining, showCharts, showImages, showsTraining
from ..words import duration
from .tree_items import NAME, newItem

_STATE = 1  # column
_ROWS = 7  # of stages that are seen at once
_ROOM_PX = 20


class Watching:
    """The list of stages, and what is shown of the one that is selected, or of the one that is being trained.

    Args:
        ui: widgets of the section Train.
    """

    def __init__(self, ui: Any) -> None:
        self._ui, self._training = ui, None
        self._stamp: Any = None  # of the example that is shown
        self._stage = ""
        tree = ui.stagesTree
        tree.header().setStretchLastSection(False)
        tree.header().setSectionResizeMode(NAME, qt.QHeaderView.Stretch)
        tree.header().setSectionResizeMode(_STATE, qt.QHeaderView.Fixed)
        tree.header().resizeSection(_STATE, tree.fontMetrics().horizontalAdvance(_("waiting")) + _ROOM_PX)
        tree.itemSelectionChanged.connect(self.update)
        ui.curvesButton.toggled.connect(self._toggle)
        self._layout = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
        self._tag = self._layout.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onLayout)

    def follow(self, training: Any) -> None:
        """Look at another training."""
        self._training, self._stamp, self._stage = training, None, ""
        self._ui.stagesTree.clear()
        self.update()

    def close(self) -> None:
        """Let go of the scene."""
        self._layout.RemoveObserver(self._tag)

    def update(self) -> None:
        """Show how it stands."""
        if self._training is None:
            return
        self._listStages()
        if showsTraining(self._layout):
            self._plot()
            self._showExample()

    def showProgress(self) -> None:
        """What is being trained, the time left, and what came up last."""
        job, ui = self._training.job, self._ui
        left = "" if job.eta_s is None else _(", {} left").format(duration(job.eta_s))
        ui.trainingBar.setValue(round(1000 * job.progress))
        lines = [f"{job.stage or _('starting')}{left}", *self._training.standing.notes[-1:]]
        ui.trainingLabel.setText("\n".join(lines))

    def _listStages(self) -> None:
        tree, standing = self._ui.stagesTree, self._training.standing
        if [tree.topLevelItem(k).text(NAME) for k in range(tree.topLevelItemCount)] != list(standing.stages):
            tree.clear()
            tree.addTopLevelItems([newItem([stage, ""], stage) for stage in standing.stages])
            tree.setFixedHeight(tree.header().height + _ROWS * tree.sizeHintForRow(0) + 2 * tree.frameWidth)
        for k, (stage, fraction) in enumerate(standing.stages.items()):
            running = stage == standing.stage and fraction < 1
            state = _("done") if fraction >= 1 else f"{fraction:.0%}" if running else _("waiting")
            tree.topLevelItem(k).setText(_STATE, state)
            if running and stage != self._stage:
                self._stage = stage
                tree.scrollToItem(tree.topLevelItem(k))

    def _plot(self) -> None:
        chosen = self._ui.stagesTree.selectedItems()
        stage = chosen[0].text(NAME) if chosen else self._training.standing.stage
        curves = self._training.metrics.curves(stage)
        charts = {chart.role: plot(slicer.mrmlScene, chart, stage, curves) for chart in CHARTS}
        showCharts(slicer.mrmlScene, charts)

    def _showExample(self) -> None:
        path = self._training.folder / EXAMPLE
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:  # none yet, or none any more: what is shown stays
            return
        if stamp != self._stamp and (arrays := readExample(path)):
            self._stamp = stamp
            with slicer.util.RenderBlocker():
                showImages(slicer.mrmlScene, showExample(slicer.mrmlScene, arrays))

    def _toggle(self, on: bool) -> None:
        if on:
            enterTraining(self._layout)
            self._stamp = None
            self.update()
        else:
            leaveTraining(self._layout)

    def _onLayout(self, caller: Any, event: str) -> None:
        shown = showsTraining(self._layout)
        if self._ui.curvesButton.isChecked() != shown:
            self._ui.curvesButton.setChecked(shown)
