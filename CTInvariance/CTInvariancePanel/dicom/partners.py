"""Which loaded volume is the low dose of a pair, and which the full dose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .loading import loadedSeries, seriesOf
from .tree import SeriesRow

_FULL_DOSE = "CTInvariance.fullDose"


def remember(lowDose: Any, fullDose: Any) -> None:
    """Keep with a simulated volume what it was simulated from; a saved scene keeps it too."""
    lowDose.SetNodeReferenceID(_FULL_DOSE, fullDose.GetID())


def pairOf(volumeNode: Any, series: Mapping[str, SeriesRow]) -> tuple[Any, Any]:
    """The volume to look at and its full dose, None where that is not loaded.

    Args:
        volumeNode: low or full dose of a pair, or any other volume, which is then looked at alone.
        series: of the database, by their uid.
    """
    if (fullDose := volumeNode.GetNodeReference(_FULL_DOSE)) is not None:
        return volumeNode, fullDose
    row = series.get(seriesOf(volumeNode))
    partner = loadedSeries(row.partner) if row is not None and row.partner else None
    if partner is None:
        return volumeNode, None
    return (volumeNode, partner) if row.dose == "low" else (partner, volumeNode)


def pairAmong(volumeNodes: Iterable[Any], series: Mapping[str, SeriesRow]) -> tuple[Any, Any]:
    """Of volumes that were loaded together: a pair among them, else the last one with its own."""
    nodes = list(volumeNodes)
    for node in reversed(nodes):
        low, full = pairOf(node, series)
        if low in nodes and full in nodes:
            return low, full
    return pairOf(nodes[-1], series)
