"""An example that shows how far a denoiser, or a flow, has come, of a patient that is kept apart."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import torch
from torch import Tensor, nn

from ..base import ModelsError, writing
from ..config import EXAMPLE, path_in
from ..tensors import denormalize, normalize
from .run import Run

_SIDE = 256  # pixels, or as many as the slices have
_TIMES = 20  # in a stage


class Example:
    """Denoises one image twenty times in a stage, keeps it where others can look at it, and measures the error.

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._patch: tuple[Tensor, Tensor] | None = None

    def show(self, stage: str, step: int, steps: int, denoiser: nn.Module) -> None:
        """After a step: look, where it is time to; see `Run.shows`."""
        if step % max(1, steps // _TIMES) and step != steps - 1:
            return
        low, full = self._patch or self._cut()
        mode = denoiser.training
        with torch.no_grad():
            denoised = denoiser.eval()(low)
        denoiser.train(mode)
        error = (denormalize(denoised) - denormalize(full)).square().mean().sqrt()
        self._run.report.metric(stage, step, rmse_hu=float(error))
        show(self._run, stage, low_dose=low, denoised=denoised, full_dose=full)

    def _cut(self) -> tuple[Tensor, Tensor]:
        """The middle of the middle slice of the first patient."""
        patient = self._run.validation.patients[0]
        count, *sides = patient.full_dose.shape
        top, left = (max(0, side - _SIDE) // 2 for side in sides)
        low, full = (
            torch.from_numpy(hu[count // 2, top : top + _SIDE, left : left + _SIDE].astype(np.float32))
            for hu in (patient.low_dose, patient.full_dose)
        )
        low, full = (self._run.fabric.to_device(normalize(hu)[None, None]) for hu in (low, full))
        self._patch = low, full
        return self._patch


def show(run: Run, stage: str, **images: Tensor) -> None:
    """Keep images for others to look at: (1, 1, H, W), normalised, as HU float32. A full disk is no reason to stop."""
    if not run.fabric.is_global_zero:
        return
    arrays = {name: denormalize(image)[0, 0].float().cpu().numpy() for name, image in images.items()}
    with suppress(OSError, ModelsError), writing(path_in(run.folder, EXAMPLE)) as path:
        np.savez(path, **{"stage": np.array(stage), **arrays})  # type: ignore[arg-type]


def show_sample(run: Run, stage: str, image: Tensor, sample: Tensor) -> None:
    """Show an image beside what a flow proposes in its place."""
    show(run, stage, low_dose=image, sample=sample)


def forget(run: Run) -> None:
    """The example is gone when the training is done: a model set tells nothing of patients."""
    if run.fabric.is_global_zero:
        path_in(run.folder, EXAMPLE).unlink(missing_ok=True)
