"""Series as memory-mapped arrays on disk: converted once, then any slice comes at the speed of memory.

    STORE/<key>/hu.npy        (slices, rows, columns), HU, int16 or float32
    STORE/<key>/series.json   who and where: ids, affine, what it was made from
    STORE/.locks/<key>        held while the entry is made

An entry appears whole or not at all, and goes likewise: it is written, and deleted, under another name. The key is a
digest of the files' paths, sizes and times, so that a changed series is another entry. Nobody but the user who made
it may look into it. Why NPY and not Zarr: docs/decisions/0010-store.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..base import (
    DataError,
    GeometryWarning,
    Progress,
    VolumeError,
    megabytes,
    part,
    private,
    private_folder,
    store_folder,
    unheard,
)
from ..sources import CTSeries
from ..volumes import CTVolume
from .stored_series import ARRAY, FACTS, FORMAT, StoredSeries, entry_in, entry_of_any_format

_LOCKS = ".locks"
_KEY, _REMAINS = re.compile("[0-9a-f]{32}"), re.compile(r"\.(?:gone-)?([0-9a-f]{32})")
_NOISE = 2  # version of the low-dose simulation: noise of another one is not the same
_OVERHEAD = 4096  # bytes of an entry besides its values, about
_HEADROOM = 1.02


class Store:
    """A folder of converted series; several processes may use and fill it at once.

    Args:
        folder: made when the first series is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self) -> list[StoredSeries]:
        """All whole entries, by patient, description and dose."""
        return _sorted(entry for key in self._keys() if (entry := self._entry(key)))

    def useless(self) -> list[StoredSeries]:
        """Entries of earlier versions and damaged ones: nothing uses them, and they may be deleted."""
        found = [entry_of_any_format(self.folder / key) for key in self._keys() if not self._entry(key)]
        return _sorted(entry for entry in found if entry)

    def series(self, series: CTSeries, *, progress: Progress = unheard) -> StoredSeries:
        """A series, converted if need be.

        Raises:
            VolumeError: see `CTSeries.read`.
            DataError: the store cannot be written to, or the disk is full.
        """

        def make() -> tuple[CTVolume, dict[str, Any]]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", GeometryWarning)  # the scan has named it already
                return series.read(progress=progress), _facts(series)

        return self._made(_key(series), make)

    def low_dose(
        self, series: CTSeries, dose: float, seed: int, *, device: str = "cpu", progress: Progress = unheard
    ) -> StoredSeries:
        """The simulated low dose of a series, made if need be; its noise depends on seed and series.

        Args:
            series: the full dose.
            dose: fraction of it.
            seed: of the run.
            device: where to compute.
            progress: gets the fraction that is done.

        Raises:
            as `series` and `simulate_low_dose`.
        """

        def make() -> tuple[CTVolume, dict[str, Any]]:
            from ..low_dose import simulate_low_dose

            volume = self.series(series, progress=part(progress, 0, 0.1)).volume()
            low = simulate_low_dose(
                volume, dose, seed=own_seed(series, seed), device=device, progress=part(progress, 0.1, 1)
            )
            kept = np.rint(low.hu).astype(np.int16) if volume.hu.dtype == np.int16 else low.hu
            return low.with_hu(kept), {**_facts(series), "dose": dose, "seed": seed}

        return self._made(_key(series, dose, seed), make)

    def missing(self, series: CTSeries, dose: float, seed: int) -> int:
        """Bytes that a series will take, about; 0 where it is there, or its files are not.

        Dose 1 and seed 0 for a series as it is.
        """
        try:
            if self._entry(_key(series, dose, seed)):
                return 0
        except VolumeError:
            return 0
        return 2 * int(np.prod(series.shape)) + _OVERHEAD

    def require_room(self, size: int) -> None:
        """Raises DataError where the disk has no room for so many bytes."""
        existing = next(each for each in (self.folder, *self.folder.absolute().parents) if each.exists())
        free = shutil.disk_usage(existing).free
        if size * _HEADROOM > free:
            raise DataError(
                f"the converted series take {megabytes(size)}, and {megabytes(free)} are free",
                where=self.folder,
                hint="Choose a store on another disk, or delete what is not needed (`ctinvariance store`).",
            )

    def delete(self, entry: StoredSeries) -> bool:
        """Remove an entry; whoever has it mapped keeps it until they let go. False: somebody else has removed it.

        Raises:
            DataError: the store cannot be written to.
        """
        key = entry.folder.name
        with self._changing():
            self._sweep()
            with self._lock(key):
                if not entry.folder.is_dir():
                    return False
                aside = self.folder / f".gone-{key}"
                _remove(aside)
                entry.folder.rename(aside)  # gone at once for everybody, also if the removal is interrupted
                _remove(aside)
                return True

    def _made(self, key: str, make: Callable[[], tuple[CTVolume, dict[str, Any]]]) -> StoredSeries:
        if entry := self._entry(key):
            return entry
        with self._changing():
            self._sweep()
            with self._lock(key):
                return self._entry(key) or self._write(key, *make())

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"the store cannot be written to ({error.strerror or error})",
                where=self.folder,
                hint="Free some space, or choose another folder for the store.",
            ) from error

    def _write(self, key: str, volume: CTVolume, facts: dict[str, Any]) -> StoredSeries:
        """Write the entry and give it its name; called by whoever holds its lock."""
        target, unfinished = self.folder / key, self.folder / f".{key}"
        for remains in (target, unfinished):  # of an interrupted or damaged one
            _remove(remains)
        facts |= {"affine": volume.affine.tolist(), "shape": volume.shape, "dtype": str(volume.hu.dtype)}
        try:
            private_folder(unfinished)
            with open(unfinished / ARRAY, "wb", opener=private) as file:
                _save(file, volume.hu)
                _to_disk(file)
            with open(unfinished / FACTS, "w", encoding="utf-8", opener=private) as text:
                json.dump({"format": FORMAT, "key": key, "library": __version__, **facts}, text, indent=1)
                _to_disk(text)
            unfinished.rename(target)
        except BaseException:  # such as a full disk, which has no room for halves
            with suppress(OSError):
                _remove(unfinished)
            raise
        entry = self._entry(key)
        if entry is None:
            raise DataError("what was just written cannot be read", where=target, hint="Check the disk.")
        return entry

    def _entry(self, key: str) -> StoredSeries | None:
        return entry_in(self.folder / key)

    def _keys(self) -> list[str]:
        """Names in the folder that may be entries."""
        return [name for name in self._names() if _KEY.fullmatch(name)]

    def _names(self) -> list[str]:
        return [each.name for each in self.folder.iterdir()] if self.folder.is_dir() else []

    def _sweep(self) -> None:
        """Remove what killed processes have left half made or half deleted: nobody holds its lock."""
        from filelock import Timeout

        for name in self._names():
            if found := _REMAINS.fullmatch(name):
                with suppress(Timeout), self._lock(found[1], timeout=0):
                    _remove(self.folder / name)

    def _lock(self, key: str, *, timeout: float = -1) -> Any:
        """Held by one process at a time; given back by the system when a process dies."""
        from filelock import FileLock

        private_folder(self.folder / _LOCKS)
        return FileLock(self.folder / _LOCKS / key, timeout, mode=0o600)


def store_at(folder: Path | str | None) -> Store:
    """The store in a folder; None or "": the one in the user's cache."""
    return Store(Path(folder or store_folder()))


def _sorted(entries: Iterable[StoredSeries]) -> list[StoredSeries]:
    """By patient, description and dose."""
    return sorted(entries, key=lambda each: (each.patient_id, each.description, -each.dose, each.folder.name))


def _remove(folder: Path) -> None:
    """Remove a folder where there is one."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


def own_seed(series: CTSeries, seed: int) -> int:
    """A seed for the noise of one series: no two patients get the same noise, whatever else is in the data."""
    digest = hashlib.sha256(f"{seed}/{series.patient_id}/{series.series_uid}/{series.description}".encode())
    return int.from_bytes(digest.digest()[:6], "big")


def _key(series: CTSeries, dose: float = 1.0, seed: int = 0) -> str:
    """A digest of what decides an entry's content; VolumeError where a file of the series is gone."""
    stamps = [(str(file.absolute()), *_stamp(file)) for file in series.files]
    noise = [] if dose == 1 else [dose, seed, _NOISE]
    text = json.dumps([FORMAT, series.patient_id, series.series_uid, stamps, noise])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _stamp(file: Path) -> tuple[int, int]:
    """Size in bytes, time of change in ns."""
    try:
        found = file.stat()
    except OSError as error:
        raise VolumeError(
            f"the file is gone or out of reach ({error.strerror})",
            where=file,
            hint="Bring the folder or drive back, or scan the source again.",
        ) from error
    return found.st_size, found.st_mtime_ns


def _facts(series: CTSeries) -> dict[str, Any]:
    names = ("patient_id", "series_uid", "study_uid", "description", "anatomy", "kernel")
    facts = {name: value for name, value in asdict(series).items() if name in names}
    return {**facts, "files": [str(file.absolute()) for file in series.files]}


def _save(file: Any, hu: NDArray[Any]) -> None:
    """`np.save` by ordinary writes: its own says of a full disk only how many values were written."""
    values = np.ascontiguousarray(hu)
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(values))
    file.write(values.data)


def _to_disk(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
