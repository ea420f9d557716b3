"""Which files are slices of one series: more than the UID has to agree, whichever way they are read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from operator import attrgetter
from typing import NamedTuple

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


class _Key(NamedTuple):
    uid: str
    patient_id: str
    patient_name: str
    study_uid: str
    description: str
    kernel: str
    size: tuple[float, ...]


def split_series(headers: Iterable[DicomHeader]) -> list[list[DicomHeader]]:
    """Headers of slices, series by series, each in the order given.

    A series is what shares SeriesInstanceUID (without one, the folder), patient, study, description, kernel, size,
    spacing and orientation: two that share no more than the UID stay apart. So do slices of two thicknesses that lie
    among each other; where one follows the other, as in scans of the head, they are one series.
    """
    groups: dict[_Key, list[DicomHeader]] = {}
    for header in headers:
        groups.setdefault(_key(header), []).append(header)
    return [same for group in groups.values() for alike in _alike(group) for same in _by_thickness(alike)]


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


def _key(header: DicomHeader) -> _Key:
    return _Key(
        header.series_uid or str(header.path.parent),
        header.patient_id,
        header.patient_name,
        header.study_uid,
        header.description,
        header.kernel,
        header.size,
    )


def _alike(headers: list[DicomHeader]) -> list[list[DicomHeader]]:
    """Slices of one series, taken apart where spacing or orientation differ by more than rounding."""
    by_grid: dict[tuple[float, ...], list[DicomHeader]] = {}
    for header in headers:
        by_grid.setdefault((*header.spacing, *header.orientation), []).append(header)
    groups: dict[tuple[float, ...], list[DicomHeader]] = {}
    for grid, several in by_grid.items():
        near = (known for known in groups if len(known) == len(grid))
        same = next(
            (known for known in near if np.abs(np.subtract(known, grid)).max(initial=0) <= ALIKE), grid
        )
        groups.setdefault(same, []).extend(several)
    return list(groups.values())


def _by_thickness(headers: list[DicomHeader]) -> list[list[DicomHeader]]:
    """Slices of one grid, taken apart where those of one thickness lie among those of another."""
    groups: dict[float, list[DicomHeader]] = {}
    for header in headers:
        groups.setdefault(header.thickness, []).append(header)
    if len(groups) == 1 or any(
        len(header.position) != 3 or len(header.orientation) != 6 for header in headers
    ):
        return [headers]
    normal = np.cross(*np.reshape(headers[0].orientation, (2, 3)))
    extents = sorted(
        (min(depth), max(depth))
        for depth in ([float(np.dot(each.position, normal)) for each in group] for group in groups.values())
    )
    apart = all(end < start for (_, end), (start, _) in pairwise(extents))
    return [headers] if apart else list(groups.values())
