"""Window and level that several volumes share while they are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import vtk


class SharedWindow:
    """Shows volumes with the window and level of the first one; whichever is changed then, the others follow.

    Args:
        nodes: scalar volume nodes.
    """

    def __init__(self, nodes: Sequence[Any]) -> None:
        displays = [node.GetScalarVolumeDisplayNode() for node in nodes]
        self._displays = [display for display in displays if display is not None]
        self._adopt(self._displays[0])
        event = vtk.vtkCommand.ModifiedEvent
        self._tags = [
            display.AddObserver(event, lambda caller, name: self._adopt(caller)) for display in self._displays
        ]

    def release(self) -> None:
        """Let every volume go its own way again."""
        for display, tag in zip(self._displays, self._tags, strict=True):
            display.RemoveObserver(tag)
        self._displays, self._tags = [], []

    def _adopt(self, source: Any) -> None:
        window, level = source.GetWindow(), source.GetLevel()
        for display in self._displays:
            if (display.GetWindow(), display.GetLevel()) != (window, level):  # the others' echo ends here
                display.SetAutoWindowLevel(False)
                display.SetWindowLevel(window, level)
