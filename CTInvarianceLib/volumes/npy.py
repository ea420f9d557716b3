"""Arrays in .npy files between processes: read by memory map, written piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import VolumeError, writing
from .values import EMPTY_BELOW_HU, padded


def open_hu(path: str | Path) -> NDArray[Any]:
    """A memory map of slices (S, H, W), HU.

    Raises:
        VolumeError: no .npy file, or not float32 or int16 of three dimensions.
    """
    try:
        slices = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise VolumeError(f"cannot read the volume ({error.strerror or error})", where=path) from error
    except ValueError as error:
        raise VolumeError("this is no .npy file, or half of one", where=path) from error
    if slices.ndim != 3 or not slices.size or slices.dtype not in (np.dtype(np.int16), np.dtype(np.float32)):
        raise VolumeError(
            f"HU are int16 or float32 of shape (slices, rows, columns), not {slices.dtype} of {slices.shape}",
            where=path,
        )
    return slices


def open_foreign_hu(path: str | Path) -> NDArray[Any]:
    """The same of what another program has read, such as 3D Slicer: padding is `PADDING_HU`, as `read_volume` has it.

    Raises:
        VolumeError: see `open_hu`.
    """
    slices = open_hu(path)
    return padded(np.array(slices)) if slices.min() <= EMPTY_BELOW_HU else slices


@contextmanager
def writing_npy(path: str | Path, *shape: int) -> Iterator[Callable[[NDArray[Any]], object]]:
    """A function that appends the next float32 values; the file appears when the block ends well.

    Ordinary writes, no memory map: on a full disk a map ends the process with SIGBUS, a write is an error.

    Raises:
        OSError: the disk is full, or the place cannot be written to.
    """
    path = Path(path)
    try:
        with writing(path) as part, part.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            yield lambda values: file.write(np.ascontiguousarray(values, "<f4").data)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
