"""How a map of standard deviations is shown: from 0, in colours of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from .colours import stdColours

_ROBUST = 99.5  # per cent of the values are not brighter than the brightest colour
_LEAST = 1.0  # HU; where nothing varies, rounding would fill the colours otherwise


def showStd(node: Any, *, interpolate: bool = False) -> None:
    """Show HU from 0 to nearly the highest in colours of equal steps, voxel by voxel, whatever the input's window is.

    Args:
        node: volume node in the scene.
        interpolate: smooth between voxels.
    """
    node.CreateDefaultDisplayNodes()
    display = node.GetScalarVolumeDisplayNode()
    spanStd(node)
    display.SetInterpolate(interpolate)
    display.SetAndObserveColorNodeID(stdColours(node.GetScene()).GetID())


def spanStd(node: Any) -> None:
    """Show 0 to nearly the highest again, since the values have changed."""
    display = node.GetScalarVolumeDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, _highest(node))


def isSpanned(node: Any) -> bool:
    """Whether it is shown so: nobody has chosen another window meanwhile."""
    display = node.GetScalarVolumeDisplayNode()
    if display is None:
        return False
    shown = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    return np.allclose(shown, (0.0, _highest(node)), rtol=1e-5, atol=1e-5)


def _highest(node: Any) -> float:
    return max(_LEAST, float(np.percentile(slicer.util.arrayFromVolume(node), _ROBUST)))
