"""Sequences of samples: their titles, and the browser through which one of them is seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import slicer

from .finding import nodesOf

FRAMES_PER_SECOND = 10.0
_LOGICS: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # outside the application


def titleOf(inputName: str, facts: Mapping[str, Any], scene: Any) -> str:
    """What a draw is called: denoiser, layer, tolerance, and slice and seed where that is taken; last the volume.

    What distinguishes comes first: Slicer cuts names in the middle, and keeps some seven letters of both ends.
    """
    title = f"{facts.get('denoiser', 'denoiser')} layer {facts.get('layer', '?')}"
    if facts.get("domain") == "full":
        title += " full dose"
    if "tolerance" in facts:
        title += f" τ {float(facts['tolerance']):g}"
    if str(facts.get("flow")).lower() == "false":
        title += " without flow"
    detailed = f"{title} · slice {facts.get('slice', 0)} seed {facts.get('seed', 0)}"
    numbered = (f"{detailed} ({number})" for number in range(2, 10_000))
    taken = {node.GetName() for node in nodesOf("vtkMRMLSequenceNode", scene)}
    titles = (f"{each} · {inputName}" if inputName else each for each in (title, detailed, *numbered))
    return next(each for each in titles if named("samples", each) not in taken)


def named(role: str, title: str) -> str:
    """The name of a node of a draw, by its role: "Mean · yang layer 4 · head"."""
    return f"{role[:1].upper()}{role[1:]} · {title}"


def nameIndex(sequence: Any) -> None:
    """Items are samples, numbered."""
    sequence.SetIndexName("sample")
    sequence.SetIndexUnit("")
    sequence.SetIndexType(slicer.vtkMRMLSequenceNode.NumericIndex)


def browse(sequence: Any, title: str) -> tuple[Any, Any]:
    """A browser over a sequence in the scene, ready to play, and the volume node that shows its current item."""
    scene = sequence.GetScene()
    logic = _logicOf(scene)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", named("browser", title))
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.SetOverwriteProxyName(sequence, False)  # the name would change with every item
    browser.SetSaveChanges(sequence, False)  # nobody paints into a sample
    browser.SetPlaybackRateFps(FRAMES_PER_SECOND)
    browser.SetPlaybackLooped(True)
    logic.UpdateProxyNodesFromSequences(browser)
    sample = browser.GetProxyNode(sequence)
    sample.SetName(scene.GetUniqueNameByString(named("sample", title)))
    return browser, sample


def showCurrent(browser: Any) -> None:
    """Let the browser's volume show what its current item has become."""
    if browser.GetScene() is not None:
        _logicOf(browser.GetScene()).UpdateProxyNodesFromSequences(browser)


def _logicOf(scene: Any) -> Any:
    """The application's logic where it looks after this scene, else one of our own; two would disturb each other."""
    module = getattr(getattr(slicer, "modules", None), "sequences", None)
    if module is not None and module.logic().GetMRMLScene() is scene:
        return module.logic()
    if scene not in _LOGICS:
        _LOGICS[scene] = slicer.vtkSlicerSequencesLogic()
        _LOGICS[scene].SetMRMLScene(scene)
    return _LOGICS[scene]
