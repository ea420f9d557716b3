"""The private folder in which arrays travel between the panel and its worker."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Generator, Iterable
from pathlib import Path

import numpy as np

from CTInvarianceLib.base import MARK, SCRATCH, is_scratch, mark_ours, remove_ours

_STALE_S = 2 * 24 * 3600
_CHUNK_BYTES = 4_000_000


class Scratch:
    """A folder that only this user may read; removed at the end, by the worker if the panel dies first."""

    def __init__(self, parent: str | Path | None = None) -> None:
        self._parent = Path(parent or tempfile.gettempdir())
        self._folder: Path | None = None
        self._count = 0

    @property
    def folder(self) -> Path:
        """Made when first asked for.

        Raises:
            OSError: the temporary folder cannot be written to.
        """
        if self._folder is None or not is_scratch(self._folder):
            self._parent.mkdir(parents=True, exist_ok=True)
            _sweep(self._parent)
            self._folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=self._parent))
            mark_ours(self._folder, self._folder.name)
        os.utime(self._folder / MARK)  # still in use, for other panels that sweep
        return self._folder

    def new(self, suffix: str = "") -> Path:
        """A path in the folder that nobody has used yet."""
        self._count += 1
        return self.folder / f"{self._count:05d}{suffix}"

    def write(self, hu: np.ndarray) -> Generator[None, None, Path]:
        """Write HU as .npy in steps, as int16 or float32; the generator returns the path.

        Ordinary writes, not a memory map: a full disk is an error then, not a crash.

        Raises:
            OSError: the disk is full, or the folder is gone.
        """
        path, dtype = self.new(".npy"), np.dtype("<i2" if hu.dtype == np.int16 else "<f4")
        step = max(1, _CHUNK_BYTES // max(1, hu[:1].nbytes))
        with open(path, "wb", opener=_private) as file:
            header = {"descr": dtype.str, "shape": hu.shape, "fortran_order": False}
            np.lib.format.write_array_header_2_0(file, header)
            for first in range(0, len(hu), step):
                file.write(np.ascontiguousarray(hu[first : first + step], dtype).data)
                yield
        return path

    def discard(self, paths: Iterable[str | Path]) -> None:
        """Remove files and folders that lie in this folder; whatever lies elsewhere stays."""
        for path in map(Path, paths):
            if self._folder is None or path.parent != self._folder:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder and all in it; a new one is made when needed."""
        if self._folder is not None:
            with contextlib.suppress(OSError):  # the worker may remove it too
                remove_ours(self._folder, self._folder.name)
            self._folder = None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sweep(parent: Path) -> None:
    """Remove what is left of panels and workers that were both killed, days ago."""
    for path in parent.glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):  # gone in this moment
            if is_scratch(path) and time.time() - (path / MARK).stat().st_mtime > _STALE_S:
                remove_ours(path, path.name)
