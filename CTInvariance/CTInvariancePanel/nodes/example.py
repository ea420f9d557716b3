"""The example that a training keeps: what goes in, what comes out, as volumes that are not offered elsewhere."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .finding import nodesOf

ROLES = {
    "low_dose": _("Example: low dose"),
    "denoised": _("Example: denoised"),
    "sample": _("Example: sample"),
    "full_dose": _("Example: full dose"),
}
"""Names of the arrays, and of the volumes made of them."""

_ROLE = "CTInvariance.example"
_WINDOW, _LEVEL = 400.0, 40.0
_MOST_BYTES = 1 << 25


def readExample(path: Path) -> dict[str, np.ndarray]:
    """The arrays (H, W), HU float32, by role; empty where there is none, or it cannot be read."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {role: np.asarray(arrays[role], np.float32) for role in ROLES if role in arrays}
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
    return {role: array for role, array in found.items() if array.ndim == 2 and array.size}


def showExample(scene: Any, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Volume nodes by role, with these values; those of earlier are used again."""
    return {role: _volume(scene, role, array) for role, array in arrays.items()}


def _volume(scene: Any, role: str, array: np.ndarray) -> Any:
    for node in nodesOf("vtkMRMLScalarVolumeNode", scene):
        if node.GetAttribute(_ROLE) == role:
            slicer.util.updateVolumeFromArray(node, array[None])
            return node
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", ROLES[role])
    node.SetAttribute(_ROLE, role)
    node.SetSaveWithScene(False)
    node.SetHideFromEditors(True)
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    slicer.util.updateVolumeFromArray(node, array[None])
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(_WINDOW, _LEVEL)
    return node
