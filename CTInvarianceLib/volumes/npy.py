"""Arrays in .npy files between processes: read by memory map, written piece by piece."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import VolumeError, private, writing
from .values import EMPTY_BELOW_HU, padded


def open_hu(path: str | Path) -> NDArray[Any]:
    """A memory map of slices (S, H, W), HU.

    Raises:
        VolumeError: no .npy file, or not float32 or int16 of three dimensions.
    """
    slices = _loaded(path, mapped=True)
    if slices.ndim != 3 or not slices.size or slices.dtype not in (np.dtype(np.int16), np.dtype(np.float32)):
        raise VolumeError(
            f"HU are int16 or float32 of shape (slices, rows, columns), not {slices.dtype} of {slices.shape}",
            where=path,
        )
    return slices


def open_foreign_hu(path: str | Path) -> NDArray[Any]:
    """The same of what another program has read, such as 3D Slicer: padding is `PADDING_HU`, as `read_volume` has it.

    It lies in memory: where that program cuts the file meanwhile, a map would end this process with SIGBUS.

    Raises:
        VolumeError: see `open_hu`.
    """
    open_hu(path)  # proves shape and size before memory is taken
    slices = _loaded(path, mapped=False)
    return padded(slices) if slices.min() <= EMPTY_BELOW_HU else slices


def _loaded(path: str | Path, *, mapped: bool) -> NDArray[Any]:
    """An array, read or mapped.

    Raises:
        VolumeError: no .npy file, half of one, or no file at all: to open a pipe would wait for its other end.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise VolumeError("this is no file", where=path, hint="Give a .npy file.")
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except OSError as error:
        raise VolumeError(f"cannot read the volume ({error.strerror or error})", where=path) from error
    except ValueError as error:
        raise VolumeError("this is no .npy file, or half of one", where=path) from error


@contextmanager
def writing_npy(path: str | Path, *shape: int) -> Iterator[Callable[[NDArray[Any]], object]]:
    """A function that appends the next float32 values; the file appears when the block ends well.

    Ordinary writes, no memory map: on a full disk a map ends the process with SIGBUS, a write is an error. The file is
    for this user alone, and its folder must be there: who made it has decided who may look into it.

    Raises:
        OSError: the disk is full, the folder is gone, or the place cannot be written to.
    """
    path = Path(path)
    try:
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "The folder is gone", str(path.parent))
        with writing(path) as part, open(part, "wb", opener=private) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            yield lambda values: file.write(np.ascontiguousarray(values, "<f4").data)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
