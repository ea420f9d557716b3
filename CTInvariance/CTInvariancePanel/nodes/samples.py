"""Sampled images become MRML nodes: a sequence to scrub through, its mean and its standard deviation."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import VolumeError

from ..steps import runAll
from .images import imageOf
from .loading import loadSamples
from .patch import Patch
from .sample_nodes import SampleNodes, link, pinSample, resultsIn
from .sequences import browse, named, nameIndex, titleOf
from .stdmap import showStd
from .volumes import addVolume, annotate, fitting, newVolume, placeBeside, requireScene

__all__ = ["SampleNodes", "addSamples", "loadSamples", "pinSample", "resultsIn", "runAll"]


def addSamples(
    inputNode: Any,
    patch: Patch,
    images: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    facts: Mapping[str, Any],
    *,
    denoised: np.ndarray | None = None,
    fullDose: Any = None,
) -> Generator[None, None, SampleNodes]:
    """Add a draw beside the volume that was asked about, a little at a time; the generator returns its nodes.

    Closing the generator early, or closing the scene, leaves nothing behind.

    Args:
        inputNode: the volume.
        patch: of the volume.
        images: (n, S, h, w) or (n, h, w) of a single slice, HU; may be memory-mapped.
        mean: (S, h, w) or (h, w), HU.
        std: likewise.
        facts: for `annotate`: program, models, denoiser, layer, domain, n, seed …
        denoised: the patch after the denoiser, likewise.
        fullDose: volume node of the same scan at full dose.

    Raises:
        VolumeError: values that do not fit the patch; the volume has left its scene meanwhile.
    """
    facts = {**facts, **patch.facts, "volume": inputNode.GetName(), "volumeID": inputNode.GetID()}
    title = titleOf(inputNode.GetName(), facts, requireScene(inputNode))
    sequence = yield from _sequenceOf(inputNode, patch, images, {**facts, "kind": "sample"})
    added: list[Any] = [sequence]
    try:
        scene = requireScene(inputNode)
        sequence.SetName(named("samples", title))
        annotate(sequence, {**facts, "kind": "samples"})
        scene.AddNode(sequence)
        browser, sample = browse(sequence, title)
        added[:0] = browser, sample  # first the browser: it would make the sample anew
        annotate(browser, {**facts, "title": title})
        placeBeside(sample, inputNode)
        yield
        maps = {}
        for role, values in (("mean", mean), ("std", std), ("denoised", denoised)):
            if values is not None:
                own = {**facts, "kind": role}
                maps[role] = yield from addVolume(inputNode, values, named(role, title), own, patch)
                added.append(maps[role])
                yield
        requireScene(inputNode)
        showStd(maps["std"])
        nodes = SampleNodes(sequence, browser, sample, **maps, fullDose=fullDose, input=inputNode)
        link(nodes)
    except BaseException:  # GeneratorExit too: whoever gives up finds the scene as it was
        _remove(added)
        raise
    return nodes


def _sequenceOf(
    inputNode: Any, patch: Patch, images: np.ndarray, facts: Mapping[str, Any]
) -> Generator[None, None, Any]:
    """A sequence that is in no scene yet."""
    sequence = slicer.vtkMRMLSequenceNode()
    nameIndex(sequence)
    if not len(images):
        raise VolumeError(
            _("there are no samples"), where=inputNode.GetName(), hint=_("Ask for one or more.")
        )
    for index, values in enumerate(images):
        image = yield from imageOf(fitting(inputNode, values, patch))
        item = newVolume(inputNode, image, patch)
        item.SetName("sample")
        annotate(item, facts)  # what the items carry, scrubbing copies to the proxy
        sequence.SetDataNodeAtValue(item, str(index))
    return sequence


def _remove(nodes: list[Any]) -> None:
    """Take nodes out of the scene; those that are in none have gone with it."""
    for node in nodes:
        if node.GetScene() is not None:
            node.GetScene().RemoveNode(node)
