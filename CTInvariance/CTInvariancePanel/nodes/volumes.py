"""CT volumes in the scene: what may be asked of one, and new ones beside it, exactly in place."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import VolumeError

from .ct import looksLikeCT, requireCT
from .images import imageOf
from .placing import placeBeside
from .space import affineLPS, ijkToRAS

__all__ = [
    "addVolume",
    "affineLPS",
    "annotate",
    "factsOf",
    "forget",
    "ijkToRAS",
    "looksLikeCT",
    "placeBeside",
    "requireCT",
    "slicesHU",
]

_PREFIX = "CTInvariance."


def slicesHU(volumeNode: Any, first: int | None = None, count: int | None = None) -> np.ndarray:
    """Slices of a volume (S, H, W), not copied; all of them where nothing is said.

    Raises:
        VolumeError: slices that do not exist.
    """
    array = slicer.util.arrayFromVolume(volumeNode)
    first = 0 if first is None else first
    count = len(array) - first if count is None else count
    if not (first >= 0 and 1 <= count <= len(array) - first):
        raise VolumeError(
            _("there are slices 0 to {}, not {} from {} on").format(len(array) - 1, count, first),
            where=volumeNode.GetName(),
        )
    return array[first : first + count]


def annotate(node: Any, facts: Mapping[str, Any]) -> None:
    """Write facts to a node as attributes `CTInvariance.<key>`, which a saved scene keeps.

    Text stays as it is, all else becomes JSON; None is left out.
    """
    with slicer.util.NodeModify(node):  # whoever watches the node looks once, not at every fact
        for key, value in facts.items():
            if value is not None:
                node.SetAttribute(_PREFIX + key, value if isinstance(value, str) else json.dumps(value))


def forget(node: Any, key: str) -> None:
    """Take back what `annotate` wrote under a key."""
    node.RemoveAttribute(_PREFIX + key)


def factsOf(node: Any) -> dict[str, str]:
    """What `annotate` wrote, as text."""
    names = [name for name in node.GetAttributeNames() if name.startswith(_PREFIX)]
    return {name.removeprefix(_PREFIX): node.GetAttribute(name) for name in names}


def addVolume(
    inputNode: Any, array: np.ndarray, name: str, facts: Mapping[str, Any], patch: Any = None
) -> Generator[None, None, Any]:
    """Add values as a volume node beside another one, its voxels where they were in that one.

    A generator: it copies a little at a time and returns the node. Nothing is in the scene before all is.

    Args:
        inputNode: the volume that the values belong to.
        array: HU, (S, h, w), or (h, w) of a single slice.
        name: made unique.
        facts: for `annotate`.
        patch: where the values lie in the volume; None: all over it.

    Raises:
        VolumeError: the values do not fit there, or the volume has left its scene meanwhile.
    """
    image = yield from imageOf(fitting(inputNode, array, patch))
    scene = requireScene(inputNode)
    node = newVolume(inputNode, image, patch)
    node.SetName(scene.GetUniqueNameByString(name))
    annotate(node, facts)
    scene.AddNode(node)
    placeBeside(node, inputNode, scene)
    return node


def fitting(inputNode: Any, array: np.ndarray, patch: Any = None) -> np.ndarray:
    """The values as (S, h, w).

    Raises:
        VolumeError: they do not fit the place.
    """
    i, j, k = inputNode.GetImageData().GetDimensions()
    shape = (k, j, i) if patch is None else patch.shape
    if array.shape not in (shape, shape[1:] if shape[0] == 1 else shape):
        raise VolumeError(
            _("values of shape {} do not fit a place of {}").format(array.shape, shape),
            where=inputNode.GetName(),
        )
    return array.reshape(shape)


def newVolume(inputNode: Any, image: Any, patch: Any = None) -> Any:
    """A volume node that is in no scene yet, where the patch of the input lies."""
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetAndObserveImageData(image)
    node.CopyOrientation(inputNode)  # spacing and axes as they are: a matrix would be taken apart and rounded
    if patch is not None:
        node.SetOrigin(*(ijkToRAS(inputNode) @ (patch.left, patch.top, patch.slice, 1))[:3])
    return node


def requireScene(node: Any) -> Any:
    """The scene that a node is in.

    Raises:
        VolumeError: it was deleted, or the scene was closed.
    """
    if node.GetScene() is None:
        raise VolumeError(
            _("the volume has been removed from the scene meanwhile"),
            where=node.GetName(),
            hint=_("Load it again, then repeat."),
        )
    return node.GetScene()
