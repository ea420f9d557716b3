"""Aligned slices that patches are cut from: arrays in memory or on disk, or tensors on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..tensors import MEAN, OFFSET_HU, STD
from .rows import rows_of

TISSUE_HU = -500
_ROOM = 0.5  # of a device's free memory that slices may take

Index = NDArray[np.intp]

# `normalize` in single precision, with a product in place of the division.
_SHIFT, _SCALE = OFFSET_HU - MEAN, 1 / STD


@dataclass(frozen=True)
class PatientSlices:
    """Aligned slices of one patient; a patient may have several.

    Attributes:
        patient_id: as in the DICOM header, or the file's name.
        low_dose: (slices, rows, columns), HU, int16 or float32, in memory or mapped from disk.
        full_dose: the same shape.
    """

    patient_id: str
    low_dose: NDArray[Any]
    full_dose: NDArray[Any]


@dataclass(frozen=True)
class Places:
    """Where n patches lie and how they are turned; every attribute has shape (n,).

    Attributes:
        series: number of the `PatientSlices`.
        slice: in it.
        top: first row.
        left: first column.
        upside_down: 1 where rows are read backwards.
        mirrored: 1 where columns are.
        turned: 1 where rows and columns are exchanged after that.
    """

    series: Index
    slice: Index
    top: Index
    left: Index
    upside_down: Index
    mirrored: Index
    turned: Index

    def __getitem__(self, which: Any) -> Self:
        """Some of them."""
        return type(self)(*(getattr(self, each.name)[which] for each in fields(self)))

    @classmethod
    def chosen(cls, options: Sequence[Self], which: Index) -> Self:
        """The n-th place of option number which[n]."""
        n = np.arange(len(which))
        return cls(*(np.stack([getattr(o, each.name) for o in options])[which, n] for each in fields(cls)))


class HostSlices:
    """Slices in arrays, or files that are mapped: patches are copied one by one, at the speed of memory."""

    def __init__(self, patients: Sequence[PatientSlices]) -> None:
        self._low = [rows_of(p.low_dose) for p in patients]
        self._full = [rows_of(p.full_dose) for p in patients]

    def tissue(self, places: Places, size: int) -> Index:
        """Number of pixels of the full dose that are denser than -500 HU, (n,)."""
        counts = [
            np.count_nonzero(self._full[i](k, top, size)[:, left : left + size] > TISSUE_HU)
            for i, k, top, left in zip(*_where(places), strict=True)
        ]
        return np.array(counts, dtype=np.intp)

    def cut(self, places: Places, size: int) -> tuple[Tensor, Tensor]:
        """Low and full dose, (n, size, size), normalised."""
        pairs = np.empty((2, len(places.series), size, size), np.float32)
        down, across = (np.where(turned, -1, 1).tolist() for turned in (places.upside_down, places.mirrored))
        for n, (i, k, top, left) in enumerate(zip(*_where(places), strict=True)):
            for pair, source in zip(pairs[:, n], (self._low[i], self._full[i]), strict=True):
                patch = source(k, top, size)[:, left : left + size][:: down[n], :: across[n]]
                # One patch after the other, while it is in the processor's cache.
                pair[...] = patch.T if places.turned[n] else patch
                pair += _SHIFT
                pair *= _SCALE
        low, full = torch.from_numpy(pairs)
        return low, full


class DeviceSlices:
    """All slices in two flat tensors on a device: patches are gathered there."""

    def __init__(self, patients: Sequence[PatientSlices], device: torch.device) -> None:
        shapes = np.array([p.full_dose.shape for p in patients])
        self._starts = np.append(0, np.cumsum(shapes.prod(axis=1)))
        self._rows, self._columns = shapes[:, 1], shapes[:, 2]
        self._device = device
        self._low = self._flat([p.low_dose for p in patients])
        self._full = self._flat([p.full_dose for p in patients])

    def tissue(self, places: Places, size: int) -> Index:
        """As `HostSlices.tissue`."""
        found = (self._full[self._pixels(places, size)] > TISSUE_HU).sum((1, 2))
        return np.asarray(found.cpu().numpy(), dtype=np.intp)

    def cut(self, places: Places, size: int) -> tuple[Tensor, Tensor]:
        """As `HostSlices.cut`, on the device."""
        pixels = self._pixels(places, size)
        low, full = ((flat[pixels].float() + _SHIFT) * _SCALE for flat in (self._low, self._full))
        return low, full

    def _flat(self, arrays: Sequence[NDArray[Any]]) -> Tensor:
        dtype = torch.from_numpy(np.empty(0, np.result_type(*(each.dtype for each in arrays)))).dtype
        flat = torch.empty(int(self._starts[-1]), dtype=dtype, device=self._device)
        for start, array in zip(self._starts[:-1].tolist(), arrays, strict=True):
            (count, rows, columns), read = array.shape, rows_of(array)
            step = rows * columns
            for k in range(count):  # slice by slice: a mapped array must not be read into memory whole
                part = flat[start + k * step : start + (k + 1) * step]
                part.copy_(torch.from_numpy(np.array(read(k, 0, rows)).ravel()))
        return flat

    def _pixels(self, places: Places, size: int) -> Tensor:
        """Index into the flat tensors of every pixel, (n, size, size)."""
        columns = self._columns[places.series]
        corner = self._starts[places.series] + columns * (
            places.slice * self._rows[places.series] + places.top
        )
        ahead = np.arange(size)
        down = np.where(places.upside_down[:, None], ahead[::-1], ahead) * columns[:, None]
        across = np.where(places.mirrored[:, None], ahead[::-1], ahead)
        turned = places.turned[:, None].astype(bool)
        first, second = np.where(turned, across, down), np.where(turned, down, across)
        parts = (corner + places.left)[:, None, None], first[:, :, None], second[:, None, :]
        base, a, b = (torch.from_numpy(np.ascontiguousarray(each)).to(self._device) for each in parts)
        return base + a + b


def keep_slices(patients: Sequence[PatientSlices], device: torch.device) -> HostSlices | DeviceSlices:
    """On the device where it is a CUDA GPU that has room for them, else where they are."""
    if device.type == "cuda":
        size = sum(p.low_dose.nbytes + p.full_dose.nbytes for p in patients)
        if size < _ROOM * torch.cuda.mem_get_info(device)[0]:
            return DeviceSlices(patients, device)
    return HostSlices(patients)


def _where(places: Places) -> tuple[list[int], list[int], list[int], list[int]]:
    return places.series.tolist(), places.slice.tolist(), places.top.tolist(), places.left.tolist()
