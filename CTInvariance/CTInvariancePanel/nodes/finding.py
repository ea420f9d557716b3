"""Finding nodes in a scene that need not be the application's."""

from __future__ import annotations

from typing import Any


def nodesOf(className: str, scene: Any) -> list[Any]:
    """All nodes of a class, in the order of the scene. (`slicer.util.getNodesByClass` ignores its scene.)"""
    count = scene.GetNumberOfNodesByClass(className)
    return [scene.GetNthNodeByClass(index, className) for index in range(count)]
