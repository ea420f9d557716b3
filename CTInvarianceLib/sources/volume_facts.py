"""What a volume file holds: whether it is CT, its grid, and what is wrong with it; it is read whole for that, once."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import VolumeError, unreadable
from ..files import read_volume, volume_suffix

LABELS, RESULTS = "label maps and segmentations", "results of this program"

_LABEL_NAME = re.compile(
    r".*[._ -](?:seg|label|labels|labelmap|mask)|(?:segmentation|label|mask)s?", re.IGNORECASE
)
_LABEL_FOLDERS = frozenset(
    (
        "label",
        "labels",
        "labelstr",
        "labelsts",
        "labelsval",
        "mask",
        "masks",
        "seg",
        "segmentation",
        "segmentations",
    )
)
_RESULT_NAME = re.compile(r"mean|std|.*\.seq|(?:.*[._ -])?denoised(?:[._ -].*)?", re.IGNORECASE)
_MOST_LABELS = 256
_UNIFORM = (
    0.9  # of the voxels of a label map equal the one beside them; of noisy images a tenth, of 8-bit ones half
)


@dataclass(frozen=True)
class VolumeFacts:
    """A volume file that was read.

    Attributes:
        shape: slices, rows, columns.
        affine: rows of the 4x4 matrix, voxel to patient mm, LPS.
        left_out: why it is none to look at, though nothing is wrong with it; "" for CT.
        warnings: what is unusual about it.
    """

    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    left_out: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbours along i, j and k, mm."""
        i, j, k = np.linalg.norm(np.array(self.affine)[:3, :3], axis=0).round(6).tolist()
        return i, j, k


def why_passed_over(path: Path) -> str:
    """Why a volume file is none to look at, as far as its name and folder tell; "" if it is to be read."""
    stem = path.name[: -len(volume_suffix(path) or "")]
    if _RESULT_NAME.fullmatch(stem) or path.parent.name == "truth":  # of phantoms
        return RESULTS
    named = _LABEL_NAME.fullmatch(stem) or path.parent.name.lower() in _LABEL_FOLDERS
    return LABELS if named else ""


def volume_facts(path: Path) -> VolumeFacts:
    """What a file holds.

    Raises:
        DicomError: that it cannot be opened.
        VolumeError: see `read_volume`.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise unreadable(path, error) from error
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            volume = read_volume(path)
        except MemoryError as error:
            raise VolumeError("the volume does not fit into memory", where=path, hint="Cut it.") from error
    affine = tuple(map(tuple, volume.affine.tolist()))
    if is_label_map(volume.hu):
        return VolumeFacts(volume.shape, affine, LABELS)
    messages = (str(each.message) for each in said)
    return VolumeFacts(volume.shape, affine, "", tuple(each.replace(f": {path}", "") for each in messages))


def is_label_map(values: NDArray[Any]) -> bool:
    """Whether an image holds no HU but a few whole numbers, none below 0, in uniform regions; (slices, rows, columns).

    A CT has air in it, and noise everywhere.
    """
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        return False
    seen, uniform = np.zeros(np.iinfo(np.uint16).max + 1, bool), 0.0
    for image in values:
        whole = image.astype(np.uint16)
        if (whole != image).any():
            return False
        seen[whole.ravel()] = True
        uniform += float((whole[:, 1:] == whole[:, :-1]).mean()) if whole.shape[1] > 1 else 1.0
    return bool(np.count_nonzero(seen) <= _MOST_LABELS and uniform >= _UNIFORM * len(values))
