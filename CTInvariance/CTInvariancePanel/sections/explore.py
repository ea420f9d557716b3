"""Section Explore: a volume, a model set, a denoiser, a layer, a patch: denoise, and sample invariances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from CTInvarianceLib.base import CTInvarianceError, VolumeError
from CTInvarianceLib.config import layers_with_flows

from .. import words
from ..jobs import DONE, FAILED, timeLeft
from ..nodes import Patch, factsOf, volumes
from ..setup import modelsets
from ..views import PatchROI, layout, showVolume
from .section import Section

_DOMAINS = (("low", _("low dose")), ("full", _("full dose")))
_STYLES = {
    words.GOOD: "background: #d4edda; color: #12401f;",
    words.DOUBTFUL: "background: #fff3cd; color: #4d3b02;",
    words.BAD: "background: #f8d7da; color: #5c1a21;",
    words.OPEN: "background: #e2e6ea; color: #2b3035;",
}


class ExploreSection(Section):
    """The parameter node holds what is chosen; the widgets follow it."""

    def __init__(self, panel: Any) -> None:
        self.description: dict[str, Any] | None = None
        self.patch: Patch | None = None
        self.job: Any = None
        self.layersOf: dict[str, list[str]] = {}
        self._sets: dict[str, Any] = {}
        self._described: Any = None  # state of the model set that the worker was asked to describe
        self._isCT = False
        self._tag: Any = None
        self._seen: tuple[Any, int] = (None, 0)
        super().__init__(panel, "Explore", _("Explore"), _("Look into a layer of a denoiser"))

    def setup(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        for key, text in _DOMAINS:
            ui.domainBox.addItem(text, key)
        self.roi = PatchROI(slicer.mrmlScene, self._onDragged)
        self._layoutNode = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
        self._layoutTag = self._layoutNode.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onLayout)
        ui.modelsBox.currentIndexChanged.connect(lambda index: self._chooseModels())
        ui.denoiserBox.currentIndexChanged.connect(lambda index: self._chooseDenoiser())
        ui.layerSlider.valueChanged.connect(lambda value: self._chooseLayer())
        ui.domainBox.currentIndexChanged.connect(lambda index: self._chooseDomain())
        ui.patchButton.toggled.connect(lambda on: self._showPatch())
        self.onClick(ui.addModelsButton, self._addModels)
        self.onClick(ui.crosshairButton, self._toCrosshair)
        self.onClick(ui.denoiseButton, self.denoise)
        self.onClick(ui.sampleButton, self.sample)
        self.onClick(ui.cancelButton, lambda: self.job is not None and self.job.cancel())
        self.panel.results.whenSelected = self._judge
        self._judge(self.panel.results.current)
        self._showJob()
        self.bind()

    def bind(self) -> None:
        """Follow the parameter node of the scene."""
        self._unbind()
        self._bound = self.parameters
        self._tag = self._bound.connectGui(self.ui)
        self._observer = self._bound.parameterNode.AddObserver(
            vtk.vtkCommand.ModifiedEvent, self._onParameters
        )
        self._select(self.ui.domainBox, self._bound.domain)
        self.ui.flowBox.setEnabled(self._bound.domain == "low")
        self.refreshModels()
        self._seen = self._bound.inputVolume, self._bound.patchSize
        self._onVolume()

    def enter(self) -> None:
        """Model sets may have come and gone; take the volume that is looked at where none is chosen."""
        self.refreshModels()
        if self.parameters.inputVolume is None:
            logic = slicer.app.layoutManager().sliceWidget("Red")
            shown = logic.sliceLogic().GetBackgroundLayer().GetVolumeNode() if logic is not None else None
            if shown is not None and shown.IsA("vtkMRMLScalarVolumeNode"):
                self.parameters.inputVolume = shown

    def cleanup(self) -> None:
        """Let go of the scene."""
        self._unbind()
        self._layoutNode.RemoveObserver(self._layoutTag)
        self.roi.remove()

    def _unbind(self) -> None:
        if self._tag is not None:
            self._bound.disconnectGui(self._tag)
            self._bound.parameterNode.RemoveObserver(self._observer)
            self._tag = None

    # Model set, denoiser, layer

    def refreshModels(self) -> None:
        """List the model sets there are."""
        box, wanted = self.ui.modelsBox, self.parameters.models
        self._sets = self.logic.modelSets()
        names = list(self._sets)
        box.blockSignals(True)
        box.clear()
        for name in names:
            box.addItem(name, name)
        box.blockSignals(False)
        self._select(box, wanted if wanted in names else (names[0] if names else ""))
        self._chooseModels()

    def _chooseModels(self) -> None:
        name, folder = _data(self.ui.modelsBox), self._folder()
        if name:
            self.parameters.models = name
        state = self.attempt(lambda: modelsets.stateOf(folder)) if folder is not None else None
        if state != self._described:
            self.description = self._described = None
        if state is not None and self.panel.setup.complete and self._described is None:
            self._described = state
            self.attempt(lambda: self.logic.describe(folder, wait=False).whenChanged(self._onDescribed))
        trained = self.attempt(lambda: layers_with_flows(folder)) if folder is not None else None
        self._fillDenoisers(trained or {})

    def _fillDenoisers(self, denoisers: dict[str, list[str]]) -> None:
        self.layersOf = denoisers
        box, wanted = self.ui.denoiserBox, self.parameters.denoiser
        box.blockSignals(True)
        box.clear()
        for name in denoisers:
            box.addItem(name, name)
        box.blockSignals(False)
        self._select(box, wanted if wanted in denoisers else next(iter(denoisers), ""))
        self._chooseDenoiser()

    def _chooseDenoiser(self) -> None:
        name = _data(self.ui.denoiserBox) or ""
        self.parameters.denoiser = name
        layers = self.layersOf.get(name, [])
        slider, wanted = self.ui.layerSlider, self.parameters.layer
        slider.blockSignals(True)
        slider.setMaximum(max(0, len(layers) - 1))
        slider.setValue(layers.index(wanted) if wanted in layers else len(layers) - 1)
        slider.blockSignals(False)
        self._chooseLayer()

    def _chooseLayer(self) -> None:
        layers = self.layersOf.get(self.parameters.denoiser, [])
        if layers:
            self.parameters.layer = layers[min(self.ui.layerSlider.value, len(layers) - 1)]
        self._showLayer()
        self._enable()

    def _chooseDomain(self) -> None:
        self.parameters.domain = _data(self.ui.domainBox) or "low"
        self.ui.flowBox.setEnabled(self.parameters.domain == "low")

    def _showLayer(self) -> None:
        if not self.layersOf:
            self.ui.layerShapeLabel.setText(_("No model set: add a folder with … or train one."))
            return
        text = _("layer {}").format(self.parameters.layer)
        known = (
            (self.description or {}).get("denoisers", {}).get(self.parameters.denoiser, {}).get("layers", [])
        )
        for number, layer in enumerate(known, 1):
            if layer["name"] == self.parameters.layer:
                side = -(-self.parameters.patchSize // layer["stride"])
                text += _(", {} of {}: {} × {} × {}").format(
                    number, len(known), layer["channels"], side, side
                )
        self.ui.layerShapeLabel.setText(text)

    def _onDescribed(self, job: Any) -> None:
        if job.state == FAILED:
            self._described = None  # asked for again the next time
            self.panel.showError(str(job.error))
        elif job.state == DONE and job.result["folder"] == str(self._folder()):
            self.description = job.result
            self.ui.sizeBox.setEnabled(not job.result["fixed_size"])
            if job.result["fixed_size"]:
                self.parameters.patchSize = job.result["patch_size"]
            self._showLayer()

    def _folder(self) -> Any:
        return self._sets.get(_data(self.ui.modelsBox))

    def _addModels(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            None, _("Folder of a model set, or of several"), str(modelsets.modelsFolder())
        )
        if folder:
            modelsets.addFolder(folder)
            self.refreshModels()

    # Volume and patch

    def _onParameters(self, caller: Any = None, event: Any = None) -> None:
        """The parameter node has changed, through a widget, the console or a loaded scene."""
        seen = self.parameters.inputVolume, self.parameters.patchSize
        if seen != self._seen:
            newVolume, self._seen = seen[0] is not self._seen[0], seen
            if newVolume:
                self._onVolume()
            else:
                self._placePatch()

    def _onVolume(self) -> None:
        self.patch = None
        self._placePatch()

    def _placePatch(self, center: Any = None) -> None:
        """Put the patch around a point, world RAS; None: where it is, else the middle of the volume."""
        node, size, before = self.parameters.inputVolume, self.parameters.patchSize, self.patch
        self.patch, self._isCT, problem = None, False, ""
        if node is not None:
            try:
                volumes.requireCT(node)
                self._isCT = True
                if center is None and before is not None:
                    center = before.center(node)
                self.patch = Patch.around(node, center, size, size)
            except CTInvarianceError as error:
                problem = str(error)
        self.ui.placeLabel.setText(problem)
        self._showPatch()
        self._showLayer()
        self._enable()

    def _showPatch(self) -> None:
        if self.patch is None:
            self.roi.hide()
            return
        if self.ui.patchButton.isChecked():
            self.roi.show(self.parameters.inputVolume, self.patch)
        else:
            self.roi.hide()
        self._describePatch()

    def _describePatch(self) -> None:
        patch = self.patch
        if patch is None:
            return
        moved = _(" (moved inside the image)") if patch.shifted else ""
        if not volumes.looksLikeCT(self.parameters.inputVolume):
            moved += _(". Caution: the values hardly look like HU.")
        self.ui.placeLabel.setText(
            _("Slice {}, rows {}–{}, columns {}–{}{}").format(
                patch.slice,
                patch.top,
                patch.top + patch.rows - 1,
                patch.left,
                patch.left + patch.columns - 1,
                moved,
            )
        )

    def _onDragged(self, patch: Patch | None) -> None:
        """The square was dragged; None: it was deleted."""
        if patch is None:
            self.ui.patchButton.setChecked(False)
            return
        self.patch = patch
        self._describePatch()

    def _onLayout(self, caller: Any, event: str) -> None:
        self.roi.showIn(layout.viewsOfPatch(self._layoutNode))

    def _toCrosshair(self) -> None:
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is None:
            raise VolumeError(
                _("there is no crosshair"), hint=_("Hold Shift and move the mouse over a slice view.")
            )
        position = [0.0, 0.0, 0.0]
        crosshair.GetCursorPositionRAS(position)
        self._placePatch(position)

    # Work

    def denoise(self) -> None:
        """Denoise the whole volume."""
        p = self.parameters
        job = self.logic.denoise(p.inputVolume, p.denoiser, models=p.models, wait=False)
        self.follow(job, showVolume)

    def sample(self) -> None:
        """Sample at the patch."""
        if self.job is not None:
            return
        p = self.parameters
        self.ui.verdictLabel.setVisible(False)
        job = self.logic.sampleInvariances(
            p.inputVolume,
            denoiser=p.denoiser,
            layer=p.layer,
            count=p.count,
            models=p.models,
            domain=p.domain,
            seed=p.seed,
            tolerance=p.tolerance,
            flow=p.flow or p.domain == "full",
            patch=self.patch,
            fullDoseNode=p.fullDoseVolume,
            wait=False,
        )
        self.follow(job, self._showSamples)

    def follow(self, job: Any, show: Callable[[Any], object]) -> None:
        """Let people see how far a job is, and cancel it.

        Args:
            job: the only one of the panel at this time.
            show: gets the result as soon as there is one.
        """
        self.job, self._show, self._shown = job, show, False
        self.panel.say("")
        job.whenChanged(self._onJob)
        self._showJob()

    def _onJob(self, job: Any) -> None:
        if job.result is not None and not self._shown:
            self._shown = True
            self.attempt(lambda: self._show(job.result))
        if job.finished:
            self.job = None
            self._conclude(job)
        self._showJob()

    def _showSamples(self, result: Any) -> None:
        self.panel.results.show(result)

    def _conclude(self, job: Any) -> None:
        if job.state == FAILED:
            self.panel.showError(str(job.error))
        elif job.state != DONE:
            self.panel.say(_("{}: cancelled.").format(job.title))
        elif hasattr(job.result, "browser"):
            self.panel.results.refresh(select=job.result)
        else:
            self.panel.say(_("{} is ready.").format(job.result.GetName()))

    def _judge(self, result: Any) -> None:
        """Say in the box what the draw that is looked at is worth."""
        label = self.ui.verdictLabel
        label.setVisible(result is not None)
        if result is None:
            return
        facts = factsOf(result.browser)
        verdict, figures = words.verdictOf(facts), words.figures(facts)
        lines = [
            words.plain(verdict.sentence),
            f"<b>{_('Caution:')}</b> {words.plain(verdict.warning)}" if verdict.warning else "",
            words.plain(verdict.advice),
            f"<small>{words.plain(figures)}</small>",
        ]
        label.setText("<br>".join(line for line in lines if line))
        label.setStyleSheet(_STYLES[verdict.grade] + "padding: 6px; border-radius: 3px;")

    def _showJob(self) -> None:
        job, ui = self.job, self.ui
        ui.progressArea.setVisible(job is not None)
        ui.progressLabel.setVisible(job is not None)
        self.panel.data.setWorking(job is not None)
        if job is not None:
            ui.progressBar.setValue(round(1000 * job.progress))
            stage = job.stage or _("starting")
            ui.progressLabel.setText(f"{job.title}: {stage}{timeLeft(job.eta_s)}")
        self._enable()

    def _enable(self) -> None:
        idle = self.job is None and bool(self.parameters.denoiser)
        self.ui.denoiseButton.setEnabled(idle and self._isCT)
        self.ui.sampleButton.setEnabled(idle and self.patch is not None and bool(self.parameters.layer))

    @staticmethod
    def _select(box: Any, data: str) -> None:
        index = box.findData(data)
        if index >= 0 and index != box.currentIndex:
            box.setCurrentIndex(index)


def _data(box: Any) -> Any:
    """What the chosen item of a combo box stands for."""
    return box.itemData(box.currentIndex) if box.currentIndex >= 0 else None
