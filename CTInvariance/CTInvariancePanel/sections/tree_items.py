"""Items of the tree of series and volumes: what they show, and what they stand for."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from ..dicom import SeriesRow
from ..words import plainTip

NAME, DOSE, SLICES, SPLIT = range(4)
"""Columns."""

SERIES, VOLUME = "series", "volume"
"""Kinds of what an item stands for, the first word of its key."""


def keyOf(item: Any) -> str:
    """What an item stands for; "" where it only holds others."""
    return item.data(NAME, qt.Qt.UserRole) or ""


def newItem(texts: list[str], tip: str) -> Any:
    """An item with a text for every column."""
    item = qt.QTreeWidgetItem(texts)
    item.setToolTip(NAME, plainTip(tip))
    return item


def seriesItem(series: SeriesRow) -> Any:
    """The item of a series, to tick where it can be used, grey and with the reason where not."""
    item = newItem(
        [series.title, series.dose, str(series.images), ""], series.reason or series.note or series.uid
    )
    if series.usable:
        item.setData(NAME, qt.Qt.UserRole, f"{SERIES} {series.uid}")
        item.setCheckState(NAME, qt.Qt.Unchecked)
        if series.partner:
            item.setText(DOSE, _("{}, paired").format(series.dose))
    else:
        item.setText(NAME, f"{series.title} – {series.reason}")
        item.setDisabled(True)
    return item


def leaves(tree: Any) -> list[Any]:
    """Items of series and volumes."""
    found, queue = [], [tree.topLevelItem(k) for k in range(tree.topLevelItemCount)]
    while queue:
        item = queue.pop(0)
        queue += [item.child(k) for k in range(item.childCount())]
        if keyOf(item):
            found.append(item)
    return found
