"""One question on its way: arrays for the worker, nodes of what it drew, figures when it has measured."""

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
from .nodes import Patch, SampleNodes, samples, volumes
from .steps import Steps


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
        return request

    def show(self, ready: Mapping[str, Any]) -> Steps:
        """Make nodes of the arrays as soon as they are there."""
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in Path(ready["out"]).glob("*.npy")}
        self._nodes = yield from samples.addSamples(
            self._volume,
            self._patch,
            arrays["samples"],
            arrays["mean"],
            arrays["std"],
            self._facts,
            denoised=arrays["denoised"],
            fullDose=self._fullDose,
        )
        return self._nodes

    def finish(self, event: Mapping[str, Any]) -> Steps:
        """Write the figures to the nodes."""
        nodes = self._nodes or (yield from self.show(event))
        for node in (nodes.sequence, nodes.browser, nodes.mean, nodes.std):
            volumes.annotate(node, words.figuresOf(event["table"]))
        return nodes

    def _write(self, node: Any) -> Steps:
        return self._scratch.write(volumes.slicesHU(node, self._patch.slice, self._patch.count))


def _requireSameGrid(volumeNode: Any, reference: Any) -> None:
    volumes.requireCT(volumeNode)
    if volumes.slicesHU(volumeNode).shape != volumes.slicesHU(reference).shape or not np.allclose(
        volumes.ijkToRAS(volumeNode), volumes.ijkToRAS(reference), atol=1e-3
    ):
        raise VolumeError(
            _("the full-dose volume lies on another grid than the input"),
            where=volumeNode.GetName(),
            hint=_("Choose the full-dose reconstruction of the same scan, or none."),
        )
