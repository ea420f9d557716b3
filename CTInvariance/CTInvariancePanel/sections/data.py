"""Section Data: the CT series of Slicer's DICOM database in a tree, and the volumes of the scene."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import DataError

from ..dicom import PatientRow, SeriesRow, database
from ..jobs import Stepper
from ..words import plainTip
from .section import Section

_NAME, _DOSE, _SLICES, _SPLIT = range(4)
_QUIET_MS = 400  # databaseChanged comes dozens of times in one import
_SERIES, _VOLUME = "series", "volume"


class DataSection(Section):
    """Ticked series are loaded together; the selected one is what the other button works on."""

    def __init__(self, panel: Any) -> None:
        self.patients: tuple[PatientRow, ...] = ()
        self._split: dict[str, str] = {}
        self._note = ""
        self._stepper: Stepper | None = None
        self._sceneItem: Any = None
        super().__init__(panel, "Data", _("Data"), _("CT of the DICOM database and of the scene"))

    def setup(self) -> None:
        """Connect the widgets; the database is read when the panel comes into view."""
        ui = self.ui
        ui.tree.setHeaderLabels([_("Series"), _("Dose"), _("Slices"), _("Split")])
        ui.tree.header().setStretchLastSection(False)
        ui.tree.header().setSectionResizeMode(_NAME, qt.QHeaderView.Stretch)
        ui.tree.setMinimumHeight(180)
        ui.tree.itemDoubleClicked.connect(lambda item, column: self.attempt(lambda: self._load(item)))
        ui.tree.itemSelectionChanged.connect(self._enable)
        ui.tree.itemChanged.connect(lambda item, column: self._enable())
        ui.searchBox.textChanged.connect(lambda text: self._show())
        self.onClick(ui.loadButton, self.load)
        self.onClick(ui.simulateButton, self.simulate)
        self.onClick(ui.refreshButton, self.refresh)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self.refresh)
        self._database: Any = None
        self._onDatabase = self._databaseChanged  # one object, so that it can be disconnected
        self._sceneTimer = qt.QTimer()
        self._sceneTimer.setSingleShot(True)
        self._sceneTimer.setInterval(_QUIET_MS)
        self._sceneTimer.timeout.connect(self._showScene)
        scene = slicer.mrmlScene
        self._observers = [
            scene.AddObserver(event, lambda caller, name: self._sceneTimer.start())
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent)
        ]
        self._enable()

    def enter(self) -> None:
        """Read the database, and again whenever it has changed and is quiet."""
        db = getattr(slicer, "dicomDatabase", None)
        if db is not None and db is not self._database:
            self._database = db
            db.connect("databaseChanged()", self._onDatabase)
        self.refresh()

    def cleanup(self) -> None:
        """No more reading."""
        self._timer.stop()
        self._sceneTimer.stop()
        for tag in self._observers:
            slicer.mrmlScene.RemoveObserver(tag)
        self._observers = []
        if self._stepper is not None:
            self._stepper.stop()
        if self._database is not None:
            self._database.disconnect("databaseChanged()", self._onDatabase)
            self._database = None

    def refresh(self) -> None:
        """Read the database, in steps."""
        if self._stepper is not None:
            self._stepper.stop()
        db = getattr(slicer, "dicomDatabase", None)
        self._stepper = Stepper(database.readInSteps(db), self._onRead, self._onUnreadable)

    def load(self) -> None:
        """Load the ticked series, or the selected item where none is ticked."""
        items = self._ticked() or self.ui.tree.selectedItems()
        for item in items:
            self._load(item)
            item.setCheckState(_NAME, qt.Qt.Unchecked)

    def simulate(self) -> None:
        """A low-dose volume of the selected series or volume, which becomes its full-dose partner."""
        if self.panel.explore.job is not None:
            raise DataError(_("other work is still going on"), hint=_("Wait for it, or cancel it."))
        node = self._load(self.ui.tree.selectedItems()[0])
        job = self.logic.simulateLowDose(node, dose=self.ui.doseBox.value, wait=False)
        self.panel.explore.follow(job, lambda low: self._usePair(low, node))

    def _usePair(self, low: Any, full: Any) -> None:
        self.parameters.fullDoseVolume = full
        self.panel.useVolume(low)

    def _databaseChanged(self) -> None:
        self._timer.start()

    def _onRead(self, patients: tuple[PatientRow, ...]) -> None:
        self._stepper, self.patients = None, patients
        self._note = database.whyEmpty(getattr(slicer, "dicomDatabase", None))
        self._split = {}
        pairs = [pair for pair in database.pairsOf(patients)]
        if pairs:
            try:
                split = database.split(pairs, seed=0)
            except DataError:  # too few patients to train on: there is no split then
                pass
            else:
                self._split = dict.fromkeys(split.training, _("training"))
                self._split |= dict.fromkeys(split.validation, _("validation"))
                self._split |= dict.fromkeys(split.test, _("test"))
        if not self._note:
            paired = sum(pair.low_dose is not None for pair in pairs)
            self._note = _("{} patients, {} usable series, {} pairs of low and full dose.").format(
                len(patients), len(pairs) + paired, paired
            )
        self._show()

    def _onUnreadable(self, error: Exception) -> None:
        self._stepper = None
        self.logic.log(repr(error))
        self.panel.showError(_("The DICOM database cannot be read: {}").format(error))

    # The tree

    def _show(self) -> None:
        tree = self.ui.tree
        tree.blockSignals(True)
        tree.clear()
        for patient in database.search(self.patients, self.ui.searchBox.text):
            self._addPatient(patient)
        self._sceneItem = None
        self._showScene()
        tree.expandAll()
        for column in (_DOSE, _SLICES, _SPLIT):
            tree.resizeColumnToContents(column)
        tree.blockSignals(False)
        self.ui.dataLabel.setText(self._note)
        self._enable()

    def _addPatient(self, patient: PatientRow) -> None:
        name = patient.name if patient.name == patient.id else f"{patient.name} ({patient.id})"
        top = _item([name, "", "", self._split.get(patient.id, "")], patient.id)
        self.ui.tree.addTopLevelItem(top)
        for study in patient.studies:
            branch = _item([f"{study.title} {study.date}".strip(), "", "", ""], study.uid)
            top.addChild(branch)
            for series in study.series:
                branch.addChild(_seriesItem(series))

    def _showScene(self) -> None:
        """List the volumes of the scene anew; what is ticked above stays so."""
        tree = self.ui.tree
        if self._sceneItem is not None:
            tree.takeTopLevelItem(tree.indexOfTopLevelItem(self._sceneItem))
            self._sceneItem = None
        volumes = [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            if node.GetImageData() is not None and not node.GetHideFromEditors()
        ]
        if not volumes:
            return
        top = self._sceneItem = _item([_("In the scene"), "", "", ""], _("Volumes that are loaded"))
        tree.addTopLevelItem(top)
        for node in volumes:
            slices = node.GetImageData().GetDimensions()[2]
            item = _item([node.GetName(), "", str(slices), ""], node.GetName())
            item.setData(_NAME, qt.Qt.UserRole, f"{_VOLUME} {node.GetID()}")
            top.addChild(item)
        top.setExpanded(True)

    def _load(self, item: Any) -> Any:
        """The volume node of an item, loaded where it is not yet; None for anything else."""
        kind, _space, key = (item.data(_NAME, qt.Qt.UserRole) or "").partition(" ")
        if kind == _VOLUME:
            node = slicer.mrmlScene.GetNodeByID(key)
        elif kind == _SERIES:
            with slicer.util.WaitCursor():
                node = database.loadSeries(key)
        else:
            return None
        self.panel.useVolume(node)
        self.panel.say(_("{} is loaded.").format(node.GetName()))
        return node

    def _ticked(self) -> list[Any]:
        return [item for item in _leaves(self.ui.tree) if item.checkState(_NAME) == qt.Qt.Checked]

    def _enable(self) -> None:
        selected = [item for item in self.ui.tree.selectedItems() if item.data(_NAME, qt.Qt.UserRole)]
        self.ui.loadButton.setEnabled(bool(selected or self._ticked()))
        self.ui.simulateButton.setEnabled(len(selected) == 1)


def _item(texts: list[str], tip: str) -> Any:
    item = qt.QTreeWidgetItem(texts)
    item.setToolTip(_NAME, plainTip(tip))
    return item


def _seriesItem(series: SeriesRow) -> Any:
    item = _item(
        [series.title, series.dose, str(series.images), ""], series.reason or series.note or series.uid
    )
    if series.usable:
        item.setData(_NAME, qt.Qt.UserRole, f"{_SERIES} {series.uid}")
        item.setCheckState(_NAME, qt.Qt.Unchecked)
        if series.partner:
            item.setText(_DOSE, _("{}, paired").format(series.dose))
    else:
        item.setText(_NAME, f"{series.title} – {series.reason}")
        item.setDisabled(True)
    return item


def _leaves(tree: Any) -> list[Any]:
    """Items of series and volumes."""
    found, queue = [], [tree.topLevelItem(k) for k in range(tree.topLevelItemCount)]
    while queue:
        item = queue.pop(0)
        queue += [item.child(k) for k in range(item.childCount())]
        if item.data(_NAME, qt.Qt.UserRole):
            found.append(item)
    return found
