"""Section Train: a model set from the series that are ticked in Data, in a process that outlives the panel."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import CTInvarianceError, ModelsError
from CTInvarianceLib.config import PRESETS, State, is_alive, is_unfinished, preset, read_standing
from CTInvarianceLib.sources import SeriesPair

from ..dicom import database
from ..jobs import DONE, FAILED, Stepper
from ..setup import device, modelsets, runs
from .estimate import Estimate, sentence
from .section import Section
from .training_settings import configured, needsVGG19, splitText
from .watching import Watching


class TrainSection(Section):
    """A form while nothing is trained, and how it stands while something is."""

    def __init__(self, panel: Any) -> None:
        self.training: Any = None
        self._boxes: dict[str, Any] = {}
        self._estimate = Estimate(self._askCost, lambda: self.folder, self._show)
        self._stepper: Stepper | None = None
        self._ownFolder = False  # people have chosen one
        super().__init__(panel, "Train", _("Train"), _("Train denoisers, and what shows their invariances"))
        self.button.collapsed = True

    def setup(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        for name in PRESETS:
            ui.presetBox.addItem(name, name)
        self.watching = Watching(ui)
        ui.presetBox.currentIndexChanged.connect(lambda index: self._onPreset())
        ui.trainDoseBox.valueChanged.connect(lambda value: self._onSettings())
        ui.stepsBox.valueChanged.connect(lambda value: self._onSettings())
        ui.trainSeedBox.valueChanged.connect(lambda value: self._onTicked())
        ui.folderLine.textEdited.connect(lambda text: self._onFolder())
        ui.folderLine.textChanged.connect(lambda text: self._onSettings())
        ui.goOnBox.setChecked(runs.goesOn())
        ui.goOnBox.toggled.connect(runs.setGoesOn)
        self.onClick(ui.tickButton, self.panel.data.tickAll)
        self.onClick(ui.folderButton, self._chooseFolder)
        self.onClick(ui.startButton, self.start)
        self.onClick(ui.pauseButton, self.pause)
        self.onClick(ui.stopButton, self.cancel)
        self.panel.data.whenTicked = self._onTicked
        self.logic.whenTraining(self._follow)
        self._onPreset()

    def enter(self) -> None:
        """Follow what is being trained, or offer to resume what is not finished."""
        if self.panel.setup.complete and (self.training is None or self.training.job.finished):
            found = self.attempt(runs.unfinished) or []
            alive = next((folder for folder in found if is_alive(folder)), None)
            if alive is not None:
                self.attempt(lambda: self.logic.resumeTraining(alive, wait=False))
            elif found and not self._ownFolder:
                self._setFolder(found[0])
                self.button.collapsed = False
        self._onTicked()

    def cleanup(self) -> None:
        """Let go; whether the training goes on is for the logic to say."""
        self._estimate.stop()
        self.watching.close()
        if self._stepper is not None:
            self._stepper.stop()
        self.training = None

    # The form

    @property
    def folder(self) -> Path | None:
        """Where the model set is written; None where nothing is named."""
        text = self.ui.folderLine.text.strip()
        return Path(text).expanduser().absolute() if text else None

    def configuration(self) -> Any:
        """What the widgets say.

        Raises:
            ConfigError: a setting is not possible.
        """
        ui = self.ui
        return configured(
            ui.presetBox.itemData(ui.presetBox.currentIndex),
            denoisers=[name for name, box in self._boxes.items() if box.isChecked()],
            dose=ui.trainDoseBox.value,
            steps=ui.stepsBox.value,
            seed=ui.trainSeedBox.value,
            device=device.device(),
        )

    def refresh(self) -> None:
        """What is installed, or the device, has changed."""
        if self._boxes:
            self._onSettings()
        else:
            self._onPreset()

    def _onPreset(self) -> None:
        """Another preset has other denoisers."""
        name = self.ui.presetBox.itemData(self.ui.presetBox.currentIndex)
        row = self.ui.denoisersArea.layout()
        for box in self._boxes.values():
            row.removeWidget(box)
            box.setParent(None)
        self._boxes = {}
        found = self.attempt(lambda: preset(name)) if self.panel.setup.complete else None
        for each in found.denoisers if found is not None else ():
            box = self._boxes[each] = qt.QCheckBox(each)
            box.setToolTip(self.ui.denoisersArea.toolTip)
            box.setChecked(True)
            box.toggled.connect(lambda on: self._onSettings())
            row.addWidget(box)
        if not self._ownFolder:
            self._setFolder(runs.newFolder(name))
        self._onSettings()

    def _setFolder(self, folder: Path) -> None:
        self._ownFolder = False
        self.ui.folderLine.setText(str(folder))

    def _onFolder(self) -> None:
        self._ownFolder = bool(self.ui.folderLine.text.strip())

    def _chooseFolder(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            None, _("Folder for the model set"), str(modelsets.modelsFolder())
        )
        if folder:
            self.ui.folderLine.setText(folder)
            self._onFolder()

    def _onTicked(self) -> None:
        """Other series are ticked, or the seed that splits them has changed."""
        self.panel.data.showSplit(self.ui.trainSeedBox.value)
        self._onSettings()

    def _onSettings(self) -> None:
        self._estimate.renew()
        self._show()

    def _askCost(self) -> Any:
        """The job that estimates what the training takes."""
        pairs = self.panel.data.tickedPairs()
        if not pairs or not self.panel.setup.complete or self._running or self._resumable:
            return None
        config = self.configuration()
        slices = [self.panel.data.slicesOf(pair) for pair in pairs]
        alone = sum(count for pair, count in zip(pairs, slices, strict=True) if pair.low_dose is None)
        return self.logic.trainingCost(config.to_dict(), sum(slices), alone, wait=False)

    # Start, pause, cancel

    def start(self) -> None:
        """Begin a training, or resume the one in the folder."""
        folder = self.folder
        if self._running or self._stepper is not None or folder is None:
            return
        if is_unfinished(folder):
            self.logic.resumeTraining(folder, wait=False)
            return
        config, allowed = self.configuration(), False
        if needsVGG19(config):
            allowed = slicer.util.confirmOkCancelDisplay(
                _(
                    "This preset compares images by VGG19, whose published weights (548 MB) are downloaded from "
                    "pytorch.org, unless they are there already. Download them?"
                )
            )
            if not allowed:
                return
            config = replace(config, vgg19="download")

        def begin(pairs: list[SeriesPair]) -> None:
            self._stepper = None
            self.attempt(
                lambda: self.logic.train(config.to_dict(), pairs, folder, allowDownload=allowed, wait=False)
            )
            self._show()

        self._stepper = Stepper(self._withFiles(self.panel.data.tickedPairs()), begin, self._notRead)
        self._show()

    def pause(self) -> None:
        """Keep what is done, and end."""
        if self.training is not None:
            self.training.pause()

    def cancel(self) -> None:
        """End it, if people mean it."""
        question = _("End this training? What is finished stays in its folder, and can be resumed there:\n{}")
        if self.training is not None and slicer.util.confirmOkCancelDisplay(
            question.format(self.training.folder)
        ):
            self.training.cancel()

    @staticmethod
    def _withFiles(pairs: list[SeriesPair]) -> Generator[None, None, list[SeriesPair]]:
        """The pairs with the files of their series, a query for each."""
        db, found = slicer.dicomDatabase, []
        for pair in pairs:
            parts = {}
            for name in ("low_dose", "full_dose"):
                series = getattr(pair, name)
                if series is not None:
                    if gone := database.missingFiles(db, series.series_uid):
                        raise ModelsError(
                            _("files of the series {} are gone").format(series.description),
                            where=gone[0],
                            hint=_("Bring them back, or untick the series."),
                        )
                    files = tuple(Path(file) for file in db.filesForSeries(series.series_uid))
                    parts[name] = replace(series, files=files)
                    yield
            found.append(replace(pair, **parts))
        return found

    def _notRead(self, error: Exception) -> None:
        self._stepper = None
        self.panel.showError(str(error))
        self._show()

    # What is trained

    @property
    def _running(self) -> bool:
        return self.training is not None and not self.training.job.finished

    @property
    def _resumable(self) -> bool:
        return self.folder is not None and is_unfinished(self.folder)

    def _follow(self, training: Any) -> None:
        self.training = training
        self.button.collapsed = False
        self.panel.say("")
        self.watching.follow(training)
        training.job.whenChanged(lambda job: self._onJob(training))
        self._setFolder(training.folder)
        self._show()

    def _onJob(self, training: Any) -> None:
        if training is not self.training:
            return
        self.watching.update()
        if training.job.finished:
            self.attempt(lambda: self._conclude(training))
        self._show()

    def _conclude(self, training: Any) -> None:
        job, folder = training.job, training.folder
        if job.state == FAILED:
            self.panel.showError(str(job.error))
        elif job.state == DONE:
            self._explore(folder)
            self._setFolder(runs.newFolder(self.ui.presetBox.itemData(self.ui.presetBox.currentIndex)))
            self.panel.say(_("{} is trained, and chosen in Explore.").format(folder.name), stays=True)
        elif training.standing.state == State.PAUSED:
            self.panel.say(
                _("The training is paused at {:.0%}. Resume goes on from there.").format(
                    training.standing.fraction
                ),
                stays=True,
            )
        else:
            self.panel.say(
                _("The training is cancelled. What was finished stays in {}.").format(folder), stays=True
            )

    def _explore(self, folder: Path) -> None:
        """The new model set is what Explore shows."""
        if folder not in self.logic.modelSets().values():
            modelsets.addFolder(folder)
        names = {path: name for name, path in self.logic.modelSets().items()}
        self.parameters.models = names[folder]
        self.panel.explore.refreshModels()

    def _show(self) -> None:
        """Everything as it is now."""
        ui, running, resumable = self.ui, self._running, self._resumable
        ui.formArea.setVisible(not running)
        for each in (ui.stagesTree, ui.trainingBar, ui.trainingLabel, ui.pauseButton, ui.stopButton):
            each.setVisible(running)
        ui.startButton.setVisible(not running)
        ui.curvesButton.setVisible(self.training is not None)
        ui.startButton.setText(_("Re&sume") if resumable else _("&Start training"))
        for each in (*self._boxes.values(), ui.presetBox, ui.trainDoseBox, ui.stepsBox, ui.trainSeedBox):
            each.setEnabled(not resumable)
        ready = self._showSplit()
        ui.costLabel.setVisible(not running)
        idle = self.panel.setup.complete and self._stepper is None and self.folder is not None
        ui.startButton.setEnabled(idle and (resumable or ready))
        if running:
            self.watching.showProgress()

    def _showSplit(self) -> bool:
        """Show who is trained on, and what is worth knowing; whether a training can begin."""
        pairs = self.panel.data.tickedPairs()
        split, problem, caution = _("None is ticked in Data."), "", ""
        if pairs:
            try:
                found = database.split(pairs, seed=self.ui.trainSeedBox.value)
            except CTInvarianceError as error:
                split, problem = "", sentence(error)
            else:
                split, caution = splitText(found), sentence(found.note) if found.note else ""
        problem = problem or self._estimate.problem
        self.ui.splitLabel.setText(split)
        cost = f"{caution} {self._estimate.text or _('Estimating what it takes …')}".strip()
        self.ui.costLabel.setText(self._note(ticked=bool(pairs)) or problem or cost)
        return bool(pairs) and not problem

    def _note(self, *, ticked: bool) -> str:
        """What there is to do first; "" where nothing."""
        if not self.panel.setup.complete:
            return _("Install what is missing first: see Setup.")
        if self._resumable:
            standing = read_standing(self.folder) if self.folder is not None else None
            done = standing.fraction if standing is not None else 0.0
            return _(
                "The training in this folder is not finished: {:.0%} is done. Resume goes on with it; for a new one "
                "choose another folder."
            ).format(done)
        return "" if ticked else _("Tick the series to train on in Data, or press Tick all.")
