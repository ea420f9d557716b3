"""The nodes of one draw, and how they find each other again when a saved scene is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import VolumeError

from ..steps import runAll
from .finding import nodesOf
from .volumes import addVolume, factsOf

_ROLE = "CTInvariance."
_REFERENCED = ("mean", "std", "denoised", "fullDose", "input")


@dataclass(frozen=True)
class SampleNodes:
    """The nodes of one draw.

    Attributes:
        sequence: vtkMRMLSequenceNode, one volume per sample: a slice, or a slab of slices.
        browser: vtkMRMLSequenceBrowserNode over it.
        sample: vtkMRMLScalarVolumeNode, the browser's current sample, HU.
        mean: vtkMRMLScalarVolumeNode, HU.
        std: vtkMRMLScalarVolumeNode, HU.
        denoised: vtkMRMLScalarVolumeNode, HU, the patch after the denoiser, or None.
        fullDose: vtkMRMLScalarVolumeNode, the same scan at full dose, or None.
        input: vtkMRMLScalarVolumeNode that was asked about, or None.
    """

    sequence: Any
    browser: Any
    sample: Any
    mean: Any
    std: Any
    denoised: Any = None
    fullDose: Any = None
    input: Any = None


def link(nodes: SampleNodes) -> None:
    """Let the browser refer to the other nodes; references survive saving and loading."""
    for role in _REFERENCED:
        node = getattr(nodes, role)
        nodes.browser.SetNodeReferenceID(_ROLE + role, node.GetID() if node is not None else None)


def resultsIn(scene: Any) -> list[SampleNodes]:
    """All draws in a scene that are still complete, in the order in which they were added."""
    results = []
    for browser in nodesOf("vtkMRMLSequenceBrowserNode", scene):
        sequence = browser.GetMasterSequenceNode()
        others = {role: browser.GetNodeReference(_ROLE + role) for role in _REFERENCED}
        nodes = SampleNodes(sequence, browser, browser.GetProxyNode(sequence) if sequence else None, **others)
        if all(node is not None for node in (sequence, nodes.sample, nodes.mean, nodes.std)):
            results.append(nodes)
    return results


def pinSample(nodes: SampleNodes, index: int) -> Any:
    """A sample as a volume node of its own, which stays when the browser moves on; its name counts from 1.

    Raises:
        VolumeError: there is no such sample.
    """
    count = nodes.sequence.GetNumberOfDataNodes()
    if not 0 <= index < count:
        raise VolumeError(
            _("there are samples 0 to {}, not {}").format(count - 1, index), where=nodes.sequence.GetName()
        )
    array = slicer.util.arrayFromVolume(nodes.sequence.GetNthDataNode(index))
    facts = {**factsOf(nodes.browser), "kind": "sample", "sample": index}
    return runAll(addVolume(nodes.sample, array, f"#{index + 1} · {nodes.sample.GetName()}", facts))
