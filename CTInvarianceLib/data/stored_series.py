"""One entry of the store: what it says of itself, and whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import VolumeError
from ..volumes import CTVolume, open_hu

ARRAY, FACTS = "hu.npy", "series.json"
FORMAT = 2
"""Of an entry, and of the program that read what is in it: what an earlier one got wrong is read anew."""


@dataclass(frozen=True)
class StoredSeries:
    """One entry.

    Attributes:
        folder: of the entry.
        patient_id: see `CTSeries`; so are series_uid, study_uid, description, anatomy, kernel.
        affine: rows of the 4x4 matrix, voxel to patient mm, LPS.
        shape: slices, rows, columns.
        dtype: "int16" or "float32".
        files: what it was made from.
        dose: of the original dose, for a simulated low dose; 1: the image as it was.
        seed: of the simulated noise.
        library: version that made it.
    """

    folder: Path
    patient_id: str
    series_uid: str
    study_uid: str
    description: str
    anatomy: str
    kernel: str
    affine: list[list[float]]
    shape: tuple[int, int, int]
    dtype: str
    files: list[str]
    dose: float = 1.0
    seed: int = 0
    library: str = ""

    @property
    def size(self) -> int:
        """Bytes on disk; 0 where it is gone."""
        with suppress(FileNotFoundError):
            return sum(each.stat().st_size for each in self.folder.iterdir())
        return 0

    @property
    def hu(self) -> NDArray[Any]:
        """(slices, rows, columns), HU, read-only, mapped from disk."""
        return open_hu(self.folder / ARRAY).view(np.ndarray)

    def volume(self) -> CTVolume:
        """The series as a volume."""
        return CTVolume(self.hu, np.array(self.affine), str(self.folder))


def entry_in(folder: Path) -> StoredSeries | None:
    """The entry in a folder if it is whole and of today's format."""
    entry = entry_of_any_format(folder, (FORMAT,))
    if entry is None:
        return None
    try:
        hu = open_hu(folder / ARRAY)
    except VolumeError:
        return None
    return entry if (hu.shape, str(hu.dtype)) == (entry.shape, entry.dtype) else None


def entry_of_any_format(folder: Path, formats: Container[int] = range(1, FORMAT + 1)) -> StoredSeries | None:
    """What an entry says of itself, whole or not, if it was written under the folder's name; a later format is none."""
    try:
        if folder.is_symlink() or not (folder / FACTS).is_file():
            return None
        facts = json.loads((folder / FACTS).read_text("utf-8"))
        number = facts.pop("format")
        key = facts.pop("key", folder.name if number == 1 else None)  # the first format did not name it
        entry = StoredSeries(folder, **{**facts, "shape": tuple(facts["shape"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    texts = (entry.patient_id, entry.description, entry.dtype)
    known = number in formats and key == folder.name
    return entry if known and all(isinstance(each, str) for each in texts) else None
