"""What the panel does, for the panel and for Python's console."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from CTInvarianceLib import __version__
from CTInvarianceLib.base import DataError, ModelsError, VolumeError
from CTInvarianceLib.config import (
    DEFAULT_TOLERANCE,
    MANIFEST,
    Question,
    config_from_dict,
    customized,
    is_unfinished,
    preset,
    read_manifest,
    trained_patch_size,
)
from CTInvarianceLib.sources import SeriesPair

from .dicom import database, partners
from .jobs import Job, Jobs, Training
from .nodes import Patch, SampleNodes, samples, volumes
from .sampling import Sampling
from .setup import device, modelsets, runs
from .steps import Steps
from .views import layout

LOG_LINES = 2000
_PROGRAM = f"CTInvariance {__version__}"


class Logic:
    """Everything that takes long returns a `Job` with `wait=False`, else it blocks with a progress dialog.

    Args:
        repository: folder that holds CTInvarianceLib.
        resources: the extension's Resources folder.
    """

    def __init__(self, repository: Path, resources: Path) -> None:
        self._repository, self._shipped = repository, resources / "Models"
        self._log: list[str] = []
        self._logListeners: list[Callable[[str], object]] = []
        self.jobs = Jobs(repository, self.log, device.device)
        self._trainings: list[Training] = []
        self._trainingListeners: list[Callable[[Training], object]] = []

    # What there is

    def pairs(self) -> list[SeriesPair]:
        """Low- and full-dose pairs in Slicer's DICOM database; low_dose is None where there is only full dose.

        Example: `[pair.patient_id for pair in logic.pairs() if pair.low_dose]`

        Raises:
            DataError: no database is open, or it is empty.
        """
        return database.seriesPairs(getattr(slicer, "dicomDatabase", None))

    def modelSets(self) -> dict[str, Path]:
        """Folders of the model sets by name.

        Example: `logic.modelSets()["starter"]`
        """
        return modelsets.modelSets(self._shipped)

    def results(self) -> list[SampleNodes]:
        """All samples in the scene, those of a reopened scene too.

        Example: `logic.results()[0].std`
        """
        return samples.resultsIn(slicer.mrmlScene)

    def describe(self, models: str | Path | None = None, *, wait: bool = True) -> Any:
        """Denoisers of a model set, their layers and shapes, and the size of patches.

        Example: `logic.describe("starter")["denoisers"]["yang"]["layers"]`

        Raises:
            ModelsError: no such model set.
        """
        folder = modelsets.resolve(models, self._shipped)
        read_manifest(folder)  # what is wrong with it is said at once
        return self._ask(_("Reading {}").format(folder.name), "describe", {"models": str(folder)}, wait=wait)

    def device(self, *, wait: bool = True) -> Any:
        """What the worker computes on: device, its name, memory, torch's version.

        Example: `logic.device()["device"]`
        """
        return self._ask(_("Looking at the device"), "device", {}, wait=wait)

    def setDevice(self, name: str) -> None:
        """Compute on another device, "auto", "cuda", "mps" or "cpu", with the next work; what runs stays where it is.

        Example: `logic.setDevice("cpu")`
        """
        device.setDevice(name)

    # What is done with volumes

    def simulateLowDose(
        self, volumeNode: Any, dose: float = 0.25, seed: int = 0, *, wait: bool = True
    ) -> Any:
        """A volume node beside the input: the same scan at a fraction of its dose.

        Its attribute CTInvariance.note says what had to be assumed, where the image does not tell its noise.

        Example: `low = logic.simulateLowDose(getNode("CT chest"), dose=0.25)`

        Raises:
            VolumeError: no CT volume.
            JobError: the worker says why it could not.
        """
        volumes.requireCT(volumeNode)
        if not 0 < dose <= 1:
            raise VolumeError(
                _("a dose of {} is no fraction of the original").format(dose),
                hint=_("Choose more than 0 and at most 1."),
            )
        facts = {"program": _PROGRAM, "kind": "low dose", "dose": dose, "seed": seed}
        name = _("{:.0%} dose · {}").format(dose, volumeNode.GetName())

        def prepare() -> Steps:
            path = yield from self.jobs.scratch.write(volumes.slicesHU(volumeNode))
            affine = volumes.affineLPS(volumeNode).tolist()
            out = self.jobs.scratch.new(".npy")
            return {"volume": str(path), "affine": affine, "dose": dose, "seed": seed, "out": str(out)}

        make = self._volume(volumeNode, name, facts)

        def finish(event: dict[str, Any]) -> Steps:
            low = yield from make(event)
            partners.remember(low, volumeNode)
            if event.get("note"):
                low.SetAttribute("CTInvariance.note", event["note"])
            return low

        return self._start(_("Simulating low dose"), "simulate", prepare, finish, wait=wait)

    def denoise(
        self, volumeNode: Any, denoiser: str, models: str | Path | None = None, *, wait: bool = True
    ) -> Any:
        """A denoised volume node beside the input.

        Example: `denoised = logic.denoise(getNode("CT chest"), denoiser="yang", models="starter")`

        Raises:
            VolumeError, ModelsError: no CT volume, no such model set or denoiser.
            JobError: the worker says why it could not.
        """
        volumes.requireCT(volumeNode)
        folder = self._modelsWith(models, denoiser)
        facts = {
            "program": _PROGRAM,
            "kind": "denoised",
            "models": folder.name,
            "modelsFolder": str(folder),
            "denoiser": denoiser,
        }
        name = _("{} denoised · {}").format(denoiser, volumeNode.GetName())

        def prepare() -> Steps:
            path = yield from self.jobs.scratch.write(volumes.slicesHU(volumeNode))
            out = self.jobs.scratch.new(".npy")
            return {"volume": str(path), "models": str(folder), "denoiser": denoiser, "out": str(out)}

        return self._start(
            _("Denoising {}").format(volumeNode.GetName()),
            "denoise",
            prepare,
            self._volume(volumeNode, name, facts),
            wait=wait,
        )

    def sampleInvariances(
        self,
        volumeNode: Any,
        center: Sequence[float] | None = None,
        denoiser: str = "yang",
        layer: str = "4",
        count: int = 250,
        *,
        models: str | Path | None = None,
        domain: str = "low",
        seed: int = 0,
        tolerance: float = DEFAULT_TOLERANCE,
        flow: bool = True,
        size: int | Sequence[int] | None = None,
        patch: Patch | None = None,
        fullDoseNode: Any = None,
        wait: bool = True,
    ) -> Any:
        """Images that a layer cannot tell from a patch of a volume, up to a tolerance, as nodes beside it.

        Example: `result = logic.sampleInvariances(getNode("CT chest"), center=[10, -40, 120], layer="4")`

        Args:
            volumeNode: the low-dose volume.
            center: of the patch, world RAS in mm; None: the middle of the volume.
            denoiser: of the model set.
            layer: of the denoiser.
            count: of samples.
            models: name or folder of a model set; None: the first there is.
            domain: "low" or "full": what the samples look like.
            seed: the same seed on the same device gives the same samples.
            tolerance: in rescans: at 1 the layer tells the images apart no better than two full-dose scans of the
                same patient; smaller is stricter.
            flow: whether the trained flow draws them; else a Gaussian, for low dose only: slower, finer, and for layers
                that no flow was trained for.
            size: side of the patch, or rows and columns, in pixels; None: what the models were trained on.
            patch: instead of center and size.
            fullDoseNode: the full-dose volume on the same grid, where there is one.
            wait: block, with a progress dialog.

        Returns:
            SampleNodes, or the Job that will have it as its result.

        Raises:
            VolumeError, ModelsError: a volume, place, or model set that does not fit.
            JobError: the worker says why it could not.
        """
        volumes.requireCT(volumeNode)
        folder = self._modelsWith(models, denoiser, layer)
        question = Question(denoiser, layer, count, domain, seed, float(tolerance), flow=flow)
        if count < 1:
            raise VolumeError(_("{} samples cannot be drawn").format(count), hint=_("Ask for one or more."))
        if not 0 < question.tolerance < float("inf"):
            raise VolumeError(
                _("a tolerance of {:g} rescans is not possible").format(question.tolerance),
                hint=_("Choose more than 0, for instance 0.5."),
            )
        if patch is None:
            trained = trained_patch_size(folder)
            rows, columns = (size or trained,) * 2 if not isinstance(size, Sequence) else size
            patch = Patch.around(volumeNode, center, rows, columns)
        facts = {
            "program": _PROGRAM,
            "models": folder.name,
            "modelsFolder": str(folder),
            **question.to_dict(),
        }
        sampling = Sampling(self.jobs.scratch, volumeNode, patch, question, folder, facts, fullDoseNode)
        title = _("Sampling {} layer {}").format(denoiser, layer)
        return self._start(title, "sample", sampling.prepare, sampling.finish, early=sampling.show, wait=wait)

    def loadSamples(self, folder: str | Path) -> SampleNodes:
        """Load a folder that `ctinvariance sample` wrote.

        Example: `logic.loadSamples("/data/out").mean`
        """
        return samples.loadSamples(folder)

    def showCompareView(self, result: SampleNodes) -> None:
        """Input, denoised and full dose above sample, mean and standard deviation, linked.

        Example: `logic.showCompareView(logic.results()[-1])`
        """
        layout.showCompare(slicer.app.layoutManager().layoutLogic().GetLayoutNode(), result)

    # Training

    def trainingCost(
        self, config: str | dict[str, Any], slices: int, simulated: int = 0, *, wait: bool = True
    ) -> Any:
        """What a training would take here: seconds, store, store_free, models and memory in bytes, device.

        Example: `logic.trainingCost("quick", slices=1200)["seconds"]`

        Args:
            config: name of a preset, or a configuration.
            slices: of all series to train on.
            simulated: slices of those full-dose series whose low dose has to be simulated.
            wait: block, with a progress dialog.

        Raises:
            JobError: the memory is too small, or the configuration is not possible.
        """
        request = {**_configured(config), "slices": slices, "simulated": simulated}
        return self._ask(_("Estimating what the training takes"), "cost", request, wait=wait)

    def train(
        self,
        config: str | dict[str, Any],
        pairs: Sequence[SeriesPair],
        outputFolder: str | Path,
        *,
        allowDownload: bool = False,
        wait: bool = True,
    ) -> Any:
        """Train a model set in a process of its own; what is there already of an unfinished training is gone on with.

        Example: `logic.train("quick", logic.pairs(), "/data/run")["out"]`

        Args:
            config: name of a preset, or a configuration.
            pairs: of `logic.pairs()`.
            outputFolder: of the model set.
            allowDownload: whether VGG19's published weights may be fetched where the configuration says "download".
            wait: block, with a progress dialog.

        Returns:
            `{"out": folder}`, or the Job that will have it as its result.

        Raises:
            DataError, ConfigError: no pairs; a configuration that is not possible.
            ModelsError: the folder holds another run, or cannot be written to.
            JobError: the training says why it could not.
        """
        folder = Path(outputFolder).expanduser().absolute()
        if is_unfinished(folder):
            return self.resumeTraining(folder, wait=wait)
        if not pairs:
            raise DataError(_("there is nothing to train on"), hint=_("Choose low- and full-dose series."))
        if (folder / MANIFEST).exists():
            raise ModelsError(
                _("there is a model set in this folder already"),
                where=folder,
                hint=_("Choose another folder."),
            )
        series = [each for pair in pairs for each in (pair.low_dose, pair.full_dose) if each is not None]
        request = {
            "data": sorted(str(path) for each in series for path in each.files),
            "config": _configured(config)["config"],
            "allow_download": allowDownload,
        }
        training = Training.start(self._repository, folder, request, self.log)
        runs.remember(folder)
        return self._follow(training, wait=wait)

    def startTraining(
        self, config: str | dict[str, Any], pairs: Sequence[SeriesPair], outputFolder: str | Path
    ) -> Job:
        """`train` with `wait=False`.

        Example: `job = logic.startTraining("quick", logic.pairs(), "/data/run"); job.progress; job.cancel()`
        """
        return self.train(config, pairs, outputFolder, wait=False)

    def resumeTraining(self, outputFolder: str | Path, *, wait: bool = True) -> Any:
        """Go on with the training in a folder, or follow it where it goes on already; see `train`.

        Example: `logic.resumeTraining("/data/run")`
        """
        folder = Path(outputFolder).expanduser().absolute()
        known = next((each for each in self._trainings if each.folder == folder), None)
        if known is not None and not known.job.finished:
            return known.job.wait() if wait else known.job
        return self._follow(Training.resume(self._repository, folder, self.log), wait=wait)

    def whenTraining(self, listener: Callable[[Training], object]) -> None:
        """Call `listener(training)` for every training that is followed from now on."""
        self._trainingListeners.append(listener)

    # Log, end

    def log(self, line: str) -> None:
        """Add a line to the log that the panel shows."""
        self._log = [*self._log[1 - LOG_LINES :], line]
        for listener in self._logListeners:
            listener(line)

    @property
    def logText(self) -> str:
        """The log, its newest lines."""
        return "\n".join(self._log)

    def whenLogged(self, listener: Callable[[str], object]) -> None:
        """Call `listener(line)` with every new line."""
        self._logListeners.append(listener)

    def cancelAll(self) -> None:
        """Cancel whatever works with the scene; training goes on."""
        self.jobs.cancelAll()

    def close(self) -> None:
        """End the worker and remove what it left; trainings go on where people want that, else they are paused."""
        self.jobs.close()
        for training in self._trainings:
            training.close(goOn=runs.goesOn())
        self._trainings = []

    # Parts

    def _ask(self, title: str, command: str, request: dict[str, Any], *, wait: bool) -> Any:
        """A job whose request takes no preparation, and whose result is the worker's as it is."""

        def prepare() -> Steps:
            yield
            return request

        def finish(event: dict[str, Any]) -> Steps:
            yield
            return event

        job = self.jobs.submit(title, command, prepare, finish)
        return job.wait() if wait else job

    def _follow(self, training: Training, *, wait: bool) -> Any:
        ended = [each for each in self._trainings if each.job.finished or each.folder == training.folder]
        self._trainings = [*(each for each in self._trainings if each not in ended), training]
        for listener in self._trainingListeners:
            listener(training)
        return training.job.wait() if wait else training.job

    def _start(
        self,
        title: str,
        command: str,
        prepare: Callable[[], Steps],
        finish: Callable[[dict[str, Any]], Steps],
        *,
        early: Callable[[dict[str, Any]], Steps] | None = None,
        wait: bool,
    ) -> Any:
        job = self.jobs.submit(title, command, prepare, finish, early)
        return job.wait() if wait else job

    def _volume(self, volumeNode: Any, name: str, facts: dict[str, Any]) -> Callable[[dict[str, Any]], Steps]:
        """What turns the array that the worker wrote into a node beside the input."""

        def finish(event: dict[str, Any]) -> Steps:
            array = np.load(event["volume"], mmap_mode="r")
            return (yield from volumes.addVolume(volumeNode, array, name, facts))

        return finish

    def _modelsWith(self, models: str | Path | None, denoiser: str, layer: str | None = None) -> Path:
        folder = modelsets.resolve(models, self._shipped)
        modelsets.require(folder, denoiser, layer)
        return folder


def _configured(config: str | dict[str, Any]) -> dict[str, Any]:
    """A whole configuration, checked, as field of a request: a preset computes on the device that is chosen."""
    if isinstance(config, str):
        chosen = customized(preset(config), {"accelerator": device.device()})
    else:
        chosen = config_from_dict(config)
    return {"config": chosen.to_dict()}
