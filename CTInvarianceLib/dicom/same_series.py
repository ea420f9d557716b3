"""Which files are slices of one series: more than the UID has to agree, whichever way they are read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from operator import attrgetter

import numpy as np

from .geometry import ALIKE
from .header import DicomHeader

_VALUES = {
    "patients": attrgetter("patient_id"),
    "names of the patient": attrgetter("patient_name"),
    "studies": attrgetter("study_uid"),
    "descriptions": attrgetter("description"),
    "kernels": attrgetter("kernel"),
    "sizes": attrgetter("size"),
    "orientations": attrgetter("orientation"),
    "pixel spacings": attrgetter("spacing"),
    "thicknesses": attrgetter("thickness"),
}
"""What the slices of a series have in common, by the words for it."""


_same = attrgetter("patient_id", "patient_name", "study_uid", "description", "kernel", "size")
_grid = attrgetter("spacing", "orientation", "thickness")

THICKER = 1.05
"""Ratio from which on two thicknesses are two; some scanners write 4.99 and 5 in one series."""

Slices = list[DicomHeader]


def split_series(headers: Iterable[DicomHeader]) -> list[list[DicomHeader]]:
    """Headers of slices, series by series, each in the order given.

    A series is what shares SeriesInstanceUID (without one, the folder), patient, study, description, kernel, size,
    spacing and orientation: two that share no more than the UID stay apart. So do slices of two thicknesses that lie
    among each other; where one follows the other, as in scans of the head, they are one series.
    """
    exact: dict[tuple[object, ...], dict[tuple[object, ...], Slices]] = {}
    for header in headers:
        uid = header.series_uid or str(header.path.parent)
        exact.setdefault((uid, *_same(header)), {}).setdefault(_grid(header), []).append(header)
    return [
        same
        for grids in exact.values()
        for alike in _alike(list(grids.values()))
        for same in _by_thickness(alike)
    ]


def what_differs(groups: list[list[DicomHeader]]) -> str:
    """How series that share a UID differ, such as "different kernels (B30f and B70f)"."""
    for name, value in _VALUES.items():
        values = [value(group[0]) for group in groups]
        if any(each != values[0] and not _close(each, values[0]) for each in values):
            return f"different {name} ({' and '.join(dict.fromkeys(map(_said, values)))})"
    return "different headers"


def _close(one: object, other: object) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        return bool(np.abs(np.subtract(one, other)).max(initial=0) <= ALIKE)
    return False


def _said(value: object) -> str:
    numbers = value if isinstance(value, tuple) else (value,) if isinstance(value, float) else ()
    return "×".join(f"{each:g}" for each in numbers) or str(value or "none")


def _alike(groups: list[Slices]) -> list[list[Slices]]:
    """Groups of slices, taken apart where spacing or orientation differ by more than rounding."""
    found: list[list[Slices]] = []
    for group in groups:
        same = next((several for several in found if _one_grid(several[0][0], group[0])), None)
        if same is None:
            found.append(same := [])
        same.append(group)
    return found


def _one_grid(one: DicomHeader, other: DicomHeader) -> bool:
    return all(a == b or _close(a, b) for a, b in zip(_grid(one)[:2], _grid(other)[:2], strict=True))


def _by_thickness(groups: list[Slices]) -> list[Slices]:
    """Slices of one grid, taken apart where those of one thickness lie among those of another."""
    found: list[Slices] = []
    for group in sorted(groups, key=lambda each: each[0].thickness):
        if found and group[0].thickness <= THICKER * found[-1][0].thickness:
            found[-1] += group
        else:
            found.append(list(group))
    everything = [header for group in found for header in group]
    if len(found) == 1 or any(len(each.position) != 3 or len(each.orientation) != 6 for each in everything):
        return [everything]
    normal = np.cross(*np.reshape(everything[0].orientation, (2, 3)))
    depths = [[float(np.dot(each.position, normal)) for each in group] for group in found]
    extents = sorted((min(depth), max(depth)) for depth in depths)
    return [everything] if all(end < start for (_, end), (start, _) in pairwise(extents)) else found
