"""Where an image of a NRRD file lies. Source: http://teem.sourceforge.net/nrrd/format.html, sections 4 and 6."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .stored import damaged
from .text_fields import numbers, placed

_TO_LPS = {
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1), "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1), "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1), "": (1, 1, 1),
    "scanner-xyz": (1, 1, 1), "3d-right-handed": (1, 1, 1),
}  # fmt: skip
_VECTOR = re.compile(r"none|\([^()]*\)")


def nrrd_place(
    path: Path, fields: dict[str, str], count: int, spatial: list[int]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The affine in LPS, and what was to be assumed.

    Args:
        path: of the file, for messages.
        fields: of its header, without blanks in their names.
        count: of all axes.
        spatial: those that are no list of values.

    Raises:
        VolumeError: a place that makes no sense.
    """
    flips = _TO_LPS.get(fields.get("space", "").lower())
    if flips is None:
        raise damaged(path, f"its header says space: {fields['space']!r}, which is no place in a patient")
    if "spacedirections" in fields:
        return _oriented(path, fields, count, spatial, flips), ()
    if "spacings" not in fields:
        unknown = "it says nothing of distances; voxels are taken as 1 mm"
        return placed(np.eye(min(len(spatial), 3)), 0), (unknown,)
    words, mins = fields["spacings"].split(), fields.get("axismins", "0 " * count).split()
    chosen = [n for n in spatial if n < min(len(words), len(mins))][:3]
    spacing = numbers(path, "spacings", " ".join(words[n] for n in chosen), min(len(spatial), 3))
    start = np.array(numbers(path, "axis mins", " ".join(mins[n] for n in chosen), len(spacing)))
    if min(spacing) <= 0:
        raise damaged(path, f"its header says spacings: {fields['spacings']!r}")
    if "axismins" in fields and "node" not in fields.get("centers", fields.get("centerings", "")):
        start += np.divide(spacing, 2)  # the edge of the first cell
    return placed(np.diag(spacing), start), ()


def _oriented(
    path: Path, fields: dict[str, str], count: int, spatial: list[int], flips: tuple[int, int, int]
) -> NDArray[np.float64]:
    vectors = _VECTOR.findall(fields["spacedirections"])
    if len(vectors) != count or any(vectors[n] == "none" for n in spatial):
        raise damaged(path, f"its header says space directions: {fields['spacedirections']!r}")
    axes = [_vector(path, "space directions", vectors[n]) for n in spatial[:3]]
    origin = np.zeros(len(axes[0])).tolist()
    if "spaceorigin" in fields:
        origin = _vector(path, "space origin", fields["spaceorigin"])
    if len(axes) == 2 and {len(origin), *map(len, axes)} == {3}:  # one slice in space, 1 mm thick
        across = np.cross(axes[0], axes[1])
        axes.append((across / np.linalg.norm(across)).tolist())
    if {len(origin), *map(len, axes)} != {len(axes)}:
        raise damaged(path, f"its header says space directions: {fields['spacedirections']!r}")
    turn = np.array(flips[: len(axes)])
    return placed(np.transpose(axes) * turn[:, None], turn * origin)


def _vector(path: Path, name: str, text: str) -> list[float]:
    if not (text.startswith("(") and text.endswith(")")):
        raise damaged(path, f"its header says {name}: {text!r}, no vector")
    return numbers(path, name, text[1:-1].replace(",", " "))
