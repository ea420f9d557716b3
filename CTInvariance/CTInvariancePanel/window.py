"""Window and level that several volumes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def showAlike(nodes: Sequence[Any]) -> None:
    """Show all volumes with the first one's window and level."""
    first = nodes[0].GetScalarVolumeDisplayNode()
    for node in nodes[1:]:
        display = node.GetScalarVolumeDisplayNode()
        if display is not None and first is not None:
            display.SetAutoWindowLevel(False)
            display.SetWindowLevel(first.GetWindow(), first.GetLevel())
