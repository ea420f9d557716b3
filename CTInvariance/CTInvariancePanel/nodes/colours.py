"""Colours of standard deviations: lightness grows evenly with the value, so that equal steps look equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from .finding import nodesOf

_MARK = "CTInvariance.colours"
_COUNT = 256


def stdColours(scene: Any) -> Any:
    """The colour node for standard deviations, made once per scene, a reopened one too."""
    nodes = nodesOf("vtkMRMLColorTableNode", scene)
    for node in nodes:
        if node.GetAttribute(_MARK) == "std":
            return node
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetNumberOfColors(_COUNT)
    node.SetName("CT Invariance standard deviation")
    for index, (red, green, blue) in enumerate(evenRamp(_COUNT)):
        node.SetColor(index, f"{index}", red, green, blue, 1.0)
    node.SetAttribute(_MARK, "std")
    return scene.AddNode(node)


def evenRamp(count: int) -> np.ndarray:
    """Black over violet and orange to light yellow, sRGB (count, 3): L* of CIELAB runs linearly from 0 to 96.

    The hue turns from blue-violet (300°) to yellow (460° = 100°); where a chroma does not exist in sRGB, less is taken.
    """
    t = np.linspace(0, 1, count)
    hue = np.deg2rad(300 + 160 * t)
    chroma = 75 * np.sin(np.pi * t) ** 0.7
    for _ in range(200):
        lab = np.stack([96 * t, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
        linear = _labToLinear(lab)
        outside = (linear < -1e-9).any(axis=1) | (linear > 1 + 1e-9).any(axis=1)
        if not outside.any():
            break
        chroma = np.where(outside, 0.97 * chroma, chroma)
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _labToLinear(lab: np.ndarray) -> np.ndarray:
    """CIELAB (D65) to linear sRGB (IEC 61966-2-1)."""
    y = (lab[:, 0] + 16) / 116
    f = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.95047, 1, 1.08883)
    toRGB = np.array(
        [
            [3.2404542, -1.5371385, -0.4985314],
            [-0.9692660, 1.8760108, 0.0415560],
            [0.0556434, -0.2040259, 1.0572252],
        ]
    )
    return xyz @ toRGB.T
