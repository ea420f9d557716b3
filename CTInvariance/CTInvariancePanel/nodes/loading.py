"""What `ctinvariance sample` wrote, as nodes of the scene."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..words import figuresOf
from .placing import placeBeside
from .sample_nodes import SampleNodes, link
from .sequences import browse, named, nameIndex, titleOf
from .stdmap import showStd
from .volumes import annotate

_PARTS = {"slices", "invariance", "consistency", "hu"}
_FILES = ("samples.seq.nrrd", "mean.nrrd", "std.nrrd", "table.json")


def loadSamples(folder: str | Path, scene: Any = None, inputNode: Any = None) -> SampleNodes:
    """Load what `ctinvariance sample` wrote into the scene.

    Args:
        folder: with samples.seq.nrrd, mean.nrrd, std.nrrd and table.json.
        scene: an MRML scene; the application's where none is given.
        inputNode: the volume that was sampled, where it is loaded: the samples then lie beside it.

    Raises:
        FileNotFoundError: a file is missing; nothing has been added to the scene then.
        RuntimeError: Slicer cannot read a file.
    """
    folder, scene = Path(folder), scene or slicer.mrmlScene
    for name in _FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                _("{} is missing. Choose a folder that `ctinvariance sample` wrote.").format(folder / name)
            )
    facts = _factsFrom(json.loads((folder / "table.json").read_text("utf-8")))
    title = titleOf(inputNode.GetName() if inputNode is not None else "", facts, scene)
    sequence = _read(scene, "vtkMRMLSequenceNode", "vtkMRMLVolumeSequenceStorageNode", folder / _FILES[0])
    sequence.SetName(named("samples", title))
    nameIndex(sequence)
    for index in range(sequence.GetNumberOfDataNodes()):
        annotate(sequence.GetNthDataNode(index), {**facts, "kind": "sample"})
    browser, sample = browse(sequence, title)
    maps = {name: _loadMap(scene, folder / f"{name}.nrrd", named(name, title)) for name in ("mean", "std")}
    nodes = SampleNodes(sequence, browser, sample, **maps, input=inputNode)
    for node in (sequence, browser, *maps.values()):
        annotate(node, facts)
    for node in (sample, *maps.values()):
        placeBeside(node, inputNode if inputNode is not None else nodes.mean, scene)
    showStd(nodes.std)
    link(nodes)
    return nodes


def _factsFrom(table: dict[str, Any]) -> dict[str, Any]:
    """All but the long lists, and the figures as those of a draw of the panel."""
    plain = {key: value for key, value in table.items() if key not in _PARTS}
    return {**plain, **figuresOf(table)}


def _loadMap(scene: Any, path: Path, name: str) -> Any:
    node = _read(scene, "vtkMRMLScalarVolumeNode", "vtkMRMLVolumeArchetypeStorageNode", path)
    node.SetName(name)
    return node


def _read(scene: Any, nodeClass: str, storageClass: str, path: Path) -> Any:
    storage = scene.AddNewNodeByClass(storageClass)
    node = scene.AddNewNodeByClass(nodeClass)
    storage.SetFileName(str(path))
    node.SetAndObserveStorageNodeID(storage.GetID())
    if not storage.ReadData(node):
        raise RuntimeError(_("Slicer cannot read {}.").format(path))
    return node
