"""Views that show a volume at one zoom, whatever their sizes, until somebody zooms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import vtk

from .legend import bandOf
from .sliceviews import moveView, placeInView

_MARGIN = 1.1  # of the volume's width and height


class FittedViews:
    """Fits views to a volume at once, and again when their sizes change: a new layout gives them theirs later.

    Args:
        layoutNode: that has the views.
        sliceNodes: of the views; they look at the volume face on.
        volumeNode: that fills them, but for the margin of a legend above it.
        fitted: called after every fit.
    """

    def __init__(
        self, layoutNode: Any, sliceNodes: Sequence[Any], volumeNode: Any, fitted: Callable[[], object]
    ) -> None:
        self._layout, self._nodes, self._volume = layoutNode, list(sliceNodes), volumeNode
        self._fitted, self._fitting = fitted, False
        self._sizes: list[tuple[int, int]] = []
        self._mmPerPixel = self._lowered = 0.0
        self.fit()
        event = vtk.vtkCommand.ModifiedEvent
        self._tags = [node.AddObserver(event, lambda caller, name: self._onChanged()) for node in self._nodes]

    def release(self) -> None:
        """Leave the views as they are from now on."""
        for node, tag in zip(self._nodes, self._tags, strict=True):
            node.RemoveObserver(tag)
        self._nodes, self._tags = [], []

    def fit(self) -> None:
        """Zoom so that all views show the whole volume equally large, and the margin above it is free."""
        self._fitting, self._sizes = True, self._sizesNow()
        sized = list(zip(self._nodes, self._sizes, strict=True))
        seen = [each for each in sized if self._layout.IsMaximizedViewNode(each[0])] or sized
        self._mmPerPixel = max(self._needed(*each) for each in seen)
        self._lowered = max(self._lowering(*each) for each in seen)
        for node, (width, height) in sized:
            if not self._isFitted(node):
                depth = node.GetFieldOfView()[2]
                node.SetFieldOfView(self._mmPerPixel * width, self._mmPerPixel * height, depth)
                right, up = placeInView(node, self._volume)[0]
                moveView(node, right, up + self._lowered)
        self._fitted()
        self._fitting = False

    def _onChanged(self) -> None:
        if self._fitting:
            return
        if self._sizesNow() != self._sizes:
            self.fit()
        elif not all(map(self._isFitted, self._nodes)):  # somebody has zoomed or moved a view
            self.release()

    def _sizesNow(self) -> list[tuple[int, int]]:
        return [tuple(max(1, side) for side in node.GetDimensions()[:2]) for node in self._nodes]

    def _needed(self, sliceNode: Any, size: tuple[int, int]) -> float:
        """Millimetres per pixel at which the volume fills a view."""
        (across, upward), (width, height) = placeInView(sliceNode, self._volume)[1], size
        return max(
            _MARGIN * across / width, _MARGIN * upward / height, upward / (0.98 * height - bandOf(height))
        )

    def _lowering(self, sliceNode: Any, size: tuple[int, int]) -> float:
        """Millimetres by which the volume must lie below the middle of a view, so that the margin is free."""
        upward, height = placeInView(sliceNode, self._volume)[1][1], size[1]
        return max(0.0, self._mmPerPixel * bandOf(height) - (self._mmPerPixel * height - upward) / 2)

    def _isFitted(self, node: Any) -> bool:
        field = [self._mmPerPixel * side for side in node.GetDimensions()[:2]]
        middle, _size = placeInView(node, self._volume)
        return (
            np.allclose(node.GetFieldOfView()[:2], field, rtol=1e-6, atol=0)
            and np.allclose(middle, (0, -self._lowered), atol=1e-3)
            and not any(node.GetXYZOrigin()[:2])
        )
