"""One question on its way: arrays for the worker, nodes of what it drew, then what it made of that, and figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from CTInvarianceLib.base import VolumeError
from CTInvarianceLib.config import Question

from . import words
from .jobs import Scratch
from .nodes import Patch, SampleNodes, acceptSamples, replaceSamples, sameGrid, samples, volumes
from .steps import Steps, runAll


class Sampling:
    """The three parts of a job that samples, each in steps.

    Args:
        scratch: where arrays travel.
        volumeNode: the low-dose volume.
        patch: of it.
        question: what is asked.
        folder: of the model set.
        facts: what the nodes are to say of how they came to be.
        fullDoseNode: the full-dose volume on the same grid, or None.
    """

    def __init__(
        self,
        scratch: Scratch,
        volumeNode: Any,
        patch: Patch,
        question: Question,
        folder: Path,
        facts: Mapping[str, Any],
        fullDoseNode: Any = None,
    ) -> None:
        self._scratch, self._volume, self._fullDose = scratch, volumeNode, fullDoseNode
        self._patch, self._question, self._folder, self._facts = patch, question, folder, facts
        self._nodes: SampleNodes | None = None
        self._shown = ""  # folder of the arrays in the nodes

    def prepare(self) -> Steps:
        """Write the slices; the fields of the request.

        Raises:
            VolumeError: the full-dose volume lies on another grid.
        """
        patch = self._patch
        request = {
            **self._question.to_dict(),
            "models": str(self._folder),
            "volume": str((yield from self._write(self._volume))),
            "region": [patch.top, patch.left, patch.rows, patch.columns],
            "out": str(self._scratch.new()),
        }
        if self._fullDose is not None:
            _requireSameGrid(self._fullDose, self._volume)
            request["full_dose"] = str((yield from self._write(self._fullDose)))
        elif _hasSquarePixels(self._volume):  # then the noise can be simulated
            request["affine"] = volumes.affineLPS(self._volume).tolist()
        return request

    def show(self, ready: Mapping[str, Any]) -> Steps:
        """Make nodes of what the flow proposes as soon as it is there; in the full-dose domain nothing follows."""
        final = self._question.domain == "full"
        return (yield from self._add(ready["out"], {} if final else {words.PROPOSED: True}))

    def finish(self, event: Mapping[str, Any]) -> Steps:
        """Bring the nodes to what became of the proposals, and write the figures to them.

        Whoever gives up in the middle of it gets it done at once: a draw half replaced would be neither.
        """
        nodes = self._nodes or (yield from self._add(event["out"], {}))
        steps = self._conclude(nodes, event)
        try:
            for _step in steps:
                yield
        except GeneratorExit:
            runAll(steps)
            raise
        return nodes

    def _add(self, folder: str, mark: Mapping[str, Any]) -> Steps:
        arrays = _arraysIn(folder)
        self._nodes = yield from samples.addSamples(
            self._volume,
            self._patch,
            arrays["samples"],
            arrays["mean"],
            arrays["std"],
            {**self._facts, **mark},
            denoised=arrays.get("denoised"),
            fullDose=self._fullDose,
        )
        if self._nodes.denoised is not None:
            volumes.forget(self._nodes.denoised, words.PROPOSED)  # it is what it is
        self._shown = folder
        return self._nodes

    def _conclude(self, nodes: SampleNodes, event: Mapping[str, Any]) -> Steps:
        if event["out"] != self._shown:
            arrays = _arraysIn(event["out"])
            yield from replaceSamples(nodes, arrays["samples"], arrays["mean"], arrays["std"])
        yield from acceptSamples(nodes)
        for node in (nodes.sequence, nodes.browser, nodes.mean, nodes.std):
            volumes.annotate(node, words.figuresOf(event["table"]))

    def _write(self, node: Any) -> Steps:
        return self._scratch.write(volumes.slicesHU(node, self._patch.slice, self._patch.count))


def _arraysIn(folder: str) -> dict[str, np.ndarray]:
    return {path.stem: np.load(path, mmap_mode="r") for path in Path(folder).glob("*.npy")}


def _hasSquarePixels(volumeNode: Any) -> bool:
    column, row, _slice = volumeNode.GetSpacing()
    return abs(column - row) <= 0.01 * row


def _requireSameGrid(volumeNode: Any, reference: Any) -> None:
    volumes.requireCT(volumeNode)
    if not sameGrid(volumeNode, reference):
        raise VolumeError(
            _("the full-dose volume lies on another grid than the input"),
            where=volumeNode.GetName(),
            hint=_("Choose the full-dose reconstruction of the same scan, or none."),
        )
