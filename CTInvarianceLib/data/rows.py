"""Rows of slices, from memory or from the file that they are mapped from.

A map is not read where there is another way: of a file that is cut, or whose disk goes away, it ends the process with
SIGBUS. Reading is an error that can be told, and costs the same (benchmarks/patches.py).
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import DataError

Rows = Callable[[int, int, int], NDArray[Any]]
"""(slice, first row, number of rows) -> (rows, columns)."""


def rows_of(slices: NDArray[Any]) -> Rows:
    """What gives rows of slices (S, H, W).

    A file stays open, so that one that is deleted can still be read. Where it is gone already, or half of the files
    that a process may open are, the map is read; on Windows too, where nobody can cut a file that is mapped.
    """
    mapped = slices.base
    if isinstance(mapped, np.memmap) and mapped.shape == slices.shape and sys.platform != "win32":
        number = _opened(str(mapped.filename))
        if number is not None:
            return _File(number, mapped).rows
    return lambda number, first, count: slices[number, first : first + count]


def _opened(path: str) -> int | None:
    """Number of the file, opened; None where it cannot be, or is one of too many."""
    import resource

    try:
        number = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    if number < resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2:
        return number
    os.close(number)
    return None


class _File:
    def __init__(self, number: int, mapped: np.memmap[Any, Any]) -> None:
        self._number, self._path = number, mapped.filename
        self._start, self._shape, self._kind = mapped.offset, mapped.shape, mapped.dtype
        weakref.finalize(self, os.close, number)

    def rows(self, number: int, first: int, count: int) -> NDArray[Any]:
        _, rows, columns = self._shape
        size = self._kind.itemsize * columns
        try:
            content = os.pread(self._number, count * size, self._start + (number * rows + first) * size)
        except OSError as error:
            raise self._unreadable(error.strerror) from error
        if len(content) < count * size:
            raise self._unreadable("it is shorter than it was")
        return np.frombuffer(content, self._kind).reshape(count, columns)

    def _unreadable(self, why: str | None) -> DataError:
        return DataError(
            f"a converted series cannot be read any more ({why})",
            where=self._path,
            hint="Check the disk and go on: what is damaged is converted anew.",
        )
