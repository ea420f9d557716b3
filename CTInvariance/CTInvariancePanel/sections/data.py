"""Section Data: the CT series of Slicer's DICOM database in a tree, and the volumes of the scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import DataError
from CTInvarianceLib.sources import SeriesPair

from ..dicom import PatientRow, SeriesRow, database, partners
from ..jobs import Stepper
from .opening import Opening
from .section import Section
from .tree_items import DOSE, NAME, SERIES, SLICES, SPLIT, VOLUME, keyOf, leaves, newItem, seriesItem

_QUIET_MS = 400  # databaseChanged comes dozens of times in one import


class DataSection(Section):
    """Ticked series are loaded together; the selected one is what the other button works on."""

    def __init__(self, panel: Any) -> None:
        self.patients: tuple[PatientRow, ...] = ()
        self._series: dict[str, SeriesRow] = {}
        self._split: dict[str, str] = {}
        self._note = ""
        self._stepper: Stepper | None = None
        self._opening: Opening | None = None
        self._working = False
        self._ticks: set[str] = set()
        self._seed = 0
        self.whenTicked: Callable[[], object] = lambda: None
        self._sceneItem: Any = None
        super().__init__(panel, "Data", _("Data"), _("CT of the DICOM database and of the scene"))

    def setup(self) -> None:
        """Connect the widgets; the database is read when the panel comes into view."""
        ui = self.ui
        ui.tree.setHeaderLabels([_("Series"), _("Dose"), _("Slices"), _("Split")])
        ui.tree.header().setStretchLastSection(False)
        ui.tree.header().setSectionResizeMode(NAME, qt.QHeaderView.Stretch)
        ui.tree.setMinimumHeight(180)
        ui.tree.itemDoubleClicked.connect(lambda item, column: self._open([item], self._use))
        ui.tree.itemSelectionChanged.connect(self._enable)
        ui.tree.itemChanged.connect(lambda item, column: self._onTick(item))
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
        if self._opening is not None:
            self._opening.stop()
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
        self._open(self._ticked() or self.ui.tree.selectedItems(), self._use)

    def simulate(self) -> None:
        """A low-dose volume of the selected series or volume, which becomes its full-dose partner."""
        if not self._working:
            self._open(self.ui.tree.selectedItems(), self._simulate)

    def setWorking(self, working: bool) -> None:
        """A job of Explore has begun or ended: there is one at a time."""
        self._working = working
        self._enable()

    def tickedPairs(self, db: Any = None) -> list[SeriesPair]:
        """Pairs and single full-dose series of which a series is ticked; with their files if `db` is given."""
        ticked = {key.partition(" ")[2] for key in self._ticks if key.startswith(f"{SERIES} ")}
        patients = [patient for patient in self.patients if any(row.uid in ticked for row in patient.series)]
        return [
            pair
            for pair in database.pairsOf(patients, db)
            if pair.full_dose.series_uid in ticked
            or (pair.low_dose is not None and pair.low_dose.series_uid in ticked)
        ]

    def slicesOf(self, pair: SeriesPair) -> int:
        """Slices of the series of a pair."""
        series = [each for each in (pair.low_dose, pair.full_dose) if each is not None]
        return sum(self._series[each.series_uid].images for each in series)

    def tickAll(self) -> None:
        """Tick all series that are shown and can be used; where they are ticked already, none."""
        items = [item for item in leaves(self.ui.tree) if keyOf(item).startswith(f"{SERIES} ")]
        all_ = all(item.checkState(NAME) == qt.Qt.Checked for item in items)
        self.ui.tree.blockSignals(True)
        for item in items:
            item.setCheckState(NAME, qt.Qt.Unchecked if all_ else qt.Qt.Checked)
        self.ui.tree.blockSignals(False)
        keys = {keyOf(item) for item in items}
        self._ticks = self._ticks - keys if all_ else self._ticks | keys
        self._enable()
        self.whenTicked()

    def showSplit(self, seed: int) -> None:
        """Show who would be trained on, with a seed: of what is ticked, or of all where nothing is."""
        self._seed = seed
        self._split = self._splitOf(self.tickedPairs() or database.pairsOf(self.patients))
        self.ui.tree.blockSignals(True)
        for k in range(self.ui.tree.topLevelItemCount):
            item = self.ui.tree.topLevelItem(k)
            if item is not self._sceneItem:
                item.setText(SPLIT, self._split.get(item.data(SPLIT, qt.Qt.UserRole) or "", ""))
        self.ui.tree.blockSignals(False)

    def _open(self, items: list[Any], use: Callable[[list[Any]], object]) -> None:
        """Load what is not loaded yet, then use the volumes; whoever clicks meanwhile is not heard."""
        entries = [(keyOf(item), item.text(NAME)) for item in items if keyOf(item)]
        if self._opening is not None or not entries:
            return

        def done(nodes: list[Any], problems: list[str]) -> None:
            self._opening = None
            self._untick([key for key, _title in entries])
            self._enable()
            if nodes:
                self.attempt(lambda: use(nodes))
            if problems:
                self.panel.showError("\n".join(problems))

        self._opening = Opening(entries, self._volumeOf, self.panel.say, done)
        self._enable()

    @staticmethod
    def _volumeOf(key: str) -> Any:
        kind, _space, name = key.partition(" ")
        if kind == SERIES:
            return database.loadSeries(name)
        node = slicer.mrmlScene.GetNodeByID(name)
        if node is None:
            raise DataError(_("the volume has been removed from the scene"), where=name)
        return node

    def _use(self, nodes: list[Any]) -> None:
        volume, fullDose = partners.pairAmong(nodes, self._series)
        self.panel.useVolume(volume, fullDose)
        names = ", ".join(node.GetName() for node in nodes)
        text = _("Loaded: {}.").format(names)
        if fullDose is not None:
            text += _(" {} is the full dose of {}.").format(fullDose.GetName(), volume.GetName())
        self.panel.say(text)

    def _simulate(self, nodes: list[Any]) -> None:
        (node,) = nodes
        self.panel.useVolume(node)
        job = self.logic.simulateLowDose(node, dose=self.ui.doseBox.value, wait=False)

        def show(low: Any) -> None:
            self.panel.useVolume(low, node)
            self.panel.say(low.GetAttribute("CTInvariance.note") or "", stays=True)

        self.panel.explore.follow(job, show)

    def _databaseChanged(self) -> None:
        self._timer.start()

    def _onRead(self, patients: tuple[PatientRow, ...]) -> None:
        self._stepper, self.patients = None, patients
        self._series = {row.uid: row for patient in patients for row in patient.series}
        self._note = database.whyEmpty(getattr(slicer, "dicomDatabase", None))
        pairs = database.pairsOf(patients)
        if not self._note:
            paired = sum(pair.low_dose is not None for pair in pairs)
            self._note = _("Patients: {}, usable series: {}, pairs of low and full dose: {}.").format(
                len(patients), len(pairs) + paired, paired
            )
        self._split = self._splitOf(self.tickedPairs() or pairs)
        self._show()
        self.whenTicked()

    def _splitOf(self, pairs: list[SeriesPair]) -> dict[str, str]:
        """What patients are for, by the ids that pairs have."""
        try:
            split = database.split(pairs, seed=self._seed)
        except DataError:  # too few patients to train on: there is no split then
            return {}
        found = dict.fromkeys(split.training, _("training"))
        found |= dict.fromkeys(split.validation, _("validation"))
        return found | dict.fromkeys(split.test, _("test"))

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
        for column in (DOSE, SLICES, SPLIT):
            tree.resizeColumnToContents(column)
        tree.blockSignals(False)
        self.ui.dataLabel.setText(self._note)
        self._enable()

    def _addPatient(self, patient: PatientRow) -> None:
        name = patient.name if patient.name == patient.id else f"{patient.name} ({patient.id})"
        top = newItem([name, "", "", self._split.get(patient.id, "")], patient.id)
        top.setData(SPLIT, qt.Qt.UserRole, patient.id)
        self.ui.tree.addTopLevelItem(top)
        for study in patient.studies:
            branch = newItem([f"{study.title} {study.date}".strip(), "", "", ""], study.uid)
            top.addChild(branch)
            for series in study.series:
                item = seriesItem(series)
                if keyOf(item) in self._ticks:
                    item.setCheckState(NAME, qt.Qt.Checked)
                branch.addChild(item)

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
        top = self._sceneItem = newItem([_("In the scene"), "", "", ""], _("Volumes that are loaded"))
        tree.addTopLevelItem(top)
        for node in volumes:
            slices = node.GetImageData().GetDimensions()[2]
            item = newItem([node.GetName(), "", str(slices), ""], node.GetName())
            item.setData(NAME, qt.Qt.UserRole, f"{VOLUME} {node.GetID()}")
            top.addChild(item)
        top.setExpanded(True)

    def _ticked(self) -> list[Any]:
        return [item for item in leaves(self.ui.tree) if item.checkState(NAME) == qt.Qt.Checked]

    def _onTick(self, item: Any) -> None:
        if item.checkState(NAME) == qt.Qt.Checked:
            self._ticks.add(keyOf(item))
        else:
            self._ticks.discard(keyOf(item))
        self._enable()
        self.whenTicked()

    def _untick(self, keys: list[str]) -> None:
        self._ticks -= set(keys)
        for item in self._ticked():
            if keyOf(item) in keys:
                item.setCheckState(NAME, qt.Qt.Unchecked)

    def _enable(self) -> None:
        selected = [item for item in self.ui.tree.selectedItems() if keyOf(item)]
        idle = self._opening is None
        self.ui.loadButton.setEnabled(idle and bool(selected or self._ticked()))
        self.ui.simulateButton.setEnabled(idle and not self._working and len(selected) == 1)
