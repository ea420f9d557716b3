"""Sampled images as MRML nodes: a sequence to scrub through, its mean and its standard deviation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer


@dataclass(frozen=True)
class SampleNodes:
    """The nodes of one draw.

    Attributes:
        sequence: vtkMRMLSequenceNode, one volume per sample: a slice, or a slab of slices.
        browser: vtkMRMLSequenceBrowserNode over it.
        sample: vtkMRMLScalarVolumeNode, the browser's current sample, HU.
        mean: vtkMRMLScalarVolumeNode, HU.
        std: vtkMRMLScalarVolumeNode, HU.
    """

    sequence: Any
    browser: Any
    sample: Any
    mean: Any
    std: Any


def loadSamples(folder: str | Path, scene: Any = None) -> SampleNodes:
    """Load what `ctinvariance sample` wrote into the scene.

    Args:
        folder: with samples.seq.nrrd, mean.nrrd, std.nrrd and table.json.
        scene: an MRML scene; the application's where none is given.

    Raises:
        FileNotFoundError: a file is missing; nothing has been added to the scene then.
        RuntimeError: Slicer cannot read a file.
    """
    folder, scene = Path(folder), scene or slicer.mrmlScene
    files = {name: folder / name for name in ("samples.seq.nrrd", "mean.nrrd", "std.nrrd", "table.json")}
    for path in files.values():
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing. Choose a folder that `ctinvariance sample` wrote.")
    table = json.loads(files["table.json"].read_text("utf-8"))
    title = f"{table['denoiser']} layer {table['layer']} ({table['domain']} dose)"
    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(scene)
    sequence = _load_sequence(scene, files["samples.seq.nrrd"], f"{title} samples")
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{title} browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    logic.UpdateProxyNodesFromSequences(browser)
    nodes = SampleNodes(
        sequence,
        browser,
        browser.GetProxyNode(sequence),
        _load_volume(scene, files["mean.nrrd"], f"{title} mean"),
        _load_volume(scene, files["std.nrrd"], f"{title} standard deviation"),
    )
    for node in (nodes.sequence, nodes.mean, nodes.std):
        for key in ("program", "denoiser", "layer", "domain", "n", "seed"):
            node.SetAttribute(f"CTInvariance.{key}", str(table[key]))
    return nodes


def _load_sequence(scene: Any, path: Path, name: str) -> Any:
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    _read(storage, sequence, path)
    sequence.SetIndexName("sample")
    sequence.SetIndexUnit("")
    return sequence


def _load_volume(scene: Any, path: Path, name: str) -> Any:
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    _read(storage, volume, path)
    volume.CreateDefaultDisplayNodes()
    return volume


def _read(storage: Any, node: Any, path: Path) -> None:
    storage.SetFileName(str(path))
    node.SetAndObserveStorageNodeID(storage.GetID())
    if not storage.ReadData(node):
        raise RuntimeError(f"Slicer cannot read {path}.")
