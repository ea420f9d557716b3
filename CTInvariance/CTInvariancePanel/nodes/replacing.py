"""The flow's proposals, shown at once, give way to the samples that were made of them: same nodes, other values."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import VolumeError

from ..words import PROPOSED
from .images import copyTo
from .sample_nodes import SampleNodes
from .sequences import showCurrent
from .stdmap import isSpanned, spanStd
from .volumes import forget


def replaceSamples(
    nodes: SampleNodes, images: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> Generator[None, None, None]:
    """Write other values into the nodes of a draw, a little at a time.

    Nodes, names, places and how they are shown stay. Only the colours of the standard deviation follow its values,
    where nobody has chosen a window for them.

    Args:
        nodes: of the draw.
        images: (n, S, h, w) or (n, h, w) of a single slice, HU; may be memory-mapped.
        mean: (S, h, w) or (h, w), HU.
        std: likewise.

    Raises:
        VolumeError: values that do not fit the nodes; nothing is changed then.
    """
    sequence = nodes.sequence
    items = [sequence.GetNthDataNode(index) for index in range(sequence.GetNumberOfDataNodes())]
    if len(items) != len(images):
        raise VolumeError(
            _("{} samples do not replace {}").format(len(images), len(items)), where=sequence.GetName()
        )
    pairs = [(nodes.mean, mean), (nodes.std, std), *zip(items, images, strict=True)]
    for node, values in pairs[:3]:  # the samples are alike
        _requireFit(node, values)
    spanned = isSpanned(nodes.std)
    for node, values in pairs:
        target = slicer.util.arrayFromVolume(node)
        yield from copyTo(target, values.reshape(target.shape))
        slicer.util.arrayFromVolumeModified(node)
        yield
    if spanned:
        spanStd(nodes.std)
    yield
    showCurrent(nodes.browser)


def acceptSamples(nodes: SampleNodes) -> Generator[None, None, None]:
    """Take back that the images of a draw are proposals, a little at a time."""
    for index in range(nodes.sequence.GetNumberOfDataNodes()):
        forget(nodes.sequence.GetNthDataNode(index), PROPOSED)
        yield
    for node in (nodes.sequence, nodes.browser, nodes.sample, nodes.mean, nodes.std):
        forget(node, PROPOSED)


def _requireFit(node: Any, values: np.ndarray) -> None:
    shape = slicer.util.arrayFromVolume(node).shape
    if values.shape not in (shape, shape[1:] if shape[0] == 1 else shape):
        raise VolumeError(
            _("values of shape {} do not fit a place of {}").format(values.shape, shape), where=node.GetName()
        )
