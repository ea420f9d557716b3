"""What TensorBoard shows of a run: every metric, and how example patches are denoised by then."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from ..base import Event, json_text
from ..config import BOARD, path_in
from ..tensors import denormalize
from .run import Run, stage_seed

_EXAMPLES = 4  # patches of validation patients, the same throughout
_PICTURES = 20  # of a stage
_CENTRE_HU, _WIDTH_HU = -250.0, 1500.0  # shows lung, soft tissue and most bone at once
_DIFFERENCE_HU = 400.0  # width of the window of differences
_FLUSH_S = 10


class Board:
    """Hears the events of a run and is shown its denoisers; writes event files into the folder of the model set.

    Args:
        run: the run; its validation patients give the examples.

    Raises:
        ModelsError: the folder of the event files is a link.
    """

    def __init__(self, run: Run) -> None:
        from lightning_fabric.loggers import TensorBoardLogger  # type: ignore[attr-defined]

        self._run = run
        path_in(run.folder, f"{BOARD}/events")  # no link leads out of the folder
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what TensorBoard's packages say to each other
            self._logger: Any = TensorBoardLogger(run.folder, name=BOARD, version="", flush_secs=_FLUSH_S)
            self._writer: Any = self._logger.experiment
            self._writer.add_text("configuration", f"```\n{json_text(run.config.to_dict(), indent=1)}\n```")
        self._examples: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, event: Event) -> None:
        """Note a metric at its step."""
        if event["event"] == "metric":
            self._logger.log_metrics({f"{event['stage']}/{event['name']}": event["value"]}, event["step"])

    def show(self, stage: str, step: int, steps: int, denoiser: nn.Module) -> None:
        """Every so often: example patches, and below them denoised."""
        if step % max(1, steps // _PICTURES) == 0:
            low, _, denoised = self._denoised(stage, denoiser)
            self._draw(f"{stage}/input, denoised", [[low, denoised]], step)

    def finish(self, stage: str, denoiser: nn.Module) -> None:
        """After a denoiser's stage: example patches, denoised, of full dose, and what was taken away; a row each."""
        low, full, denoised = self._denoised(stage, denoiser)
        columns = [[low, denoised, full], [low - denoised, full - denoised]]
        self._draw(f"{stage}/input, denoised, full dose, removed, error", columns, 0)

    def close(self) -> None:
        """Write what is not written yet."""
        self._writer.close()

    @torch.no_grad()
    def _denoised(self, stage: str, denoiser: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
        """Low dose, full dose and denoised, (n, 1, H, W) in HU, of patches as large as the denoiser learns from."""
        run = self._run
        size = run.config.denoisers[stage.removeprefix("denoiser ")].patch_size
        if size not in self._examples:
            self._examples[size] = run.validation.draw(
                _EXAMPLES, size, seed=stage_seed(run.config.seed, "examples")
            )
        low, full = self._examples[size]
        denoised = denoiser(run.fabric.to_device(low)).cpu()
        return denormalize(low), denormalize(full), denormalize(denoised)

    def _draw(self, title: str, groups: list[list[Tensor]], step: int) -> None:
        """A picture of one row for every patch; the second group are differences."""
        windows = ((_CENTRE_HU, _WIDTH_HU), (0.0, _DIFFERENCE_HU))
        shown = [
            ((image - centre) / width + 0.5).clamp(0, 1)
            for (centre, width), group in zip(windows, groups, strict=False)
            for image in group
        ]
        sheet = torch.cat([torch.cat(list(column[:, 0]), dim=0) for column in shown], dim=1)
        self._writer.add_image(title, sheet[None], step)


def open_board(run: Run) -> Board | None:
    """A board that hears the run from now on; None where TensorBoard is not installed, which is said once."""
    if find_spec("tensorboard") is None:
        message = "no event files are written: TensorBoard is not installed (pip install tensorboard)"
        run.report.emit("log", notice=True, message=message)
        return None
    board = Board(run)
    run.report.listen(board)
    return board
