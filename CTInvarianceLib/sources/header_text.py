"""What a file holds, as two short texts: what a DICOM file shares with its series, and its own."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..base import DicomError, VolumeError
from ..dicom import DicomHeader
from .volume_facts import VolumeFacts

Found = DicomHeader | VolumeFacts | VolumeError | None
"""What a file holds: a slice, a volume, damage, or nothing of either."""

_VERSION = 2  # raise it when headers or volumes are read differently
_OWN = ("instance_uid", "position", "truncated", "pixels_at")  # differ from slice to slice
_FIELDS = tuple(each.name for each in fields(DicomHeader))
_SHARED = tuple(name for name in _FIELDS if name not in ("path", *_OWN))
_TUPLES = frozenset(each.name for each in fields(DicomHeader) if "tuple" in str(each.type)) - {*_OWN}
_INSTANCE, _POSITION, _TRUNCATED, _PIXELS_AT = map(_FIELDS.index, _OWN)

FORMAT = zlib.crc32(repr((_VERSION, _OWN, _SHARED)).encode()) & 0x7FFFFFFF
"""Changes whenever texts of another version could not be understood."""

_shared_of, _own_of = attrgetter(*_SHARED), attrgetter(*_OWN)
_encode, _decode = json.JSONEncoder(separators=(",", ":")).encode, json.JSONDecoder().raw_decode


def written(found: Found) -> tuple[str, str]:
    """Both texts."""
    if found is None:
        return "", ""
    if isinstance(found, VolumeError):
        return "", _encode([found.what, found.hint])
    if isinstance(found, VolumeFacts):
        return "", _encode(asdict(found))
    return _encode(_shared_of(found)), _encode(_own_of(found))


def _volume(shape: list[int], affine: list[list[float]], left_out: str, warnings: list[str]) -> VolumeFacts:
    slices, rows, columns = shape
    return VolumeFacts((slices, rows, columns), tuple(map(tuple, affine)), left_out, tuple(warnings))


class HeaderReader:
    """Turns texts back into headers; equal texts give the same values, which saves time and memory.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, list[Any]] = {}

    def parsed(self, name: str, shared: str, own: str) -> Found:
        """What `written` was given of the file of this name.

        Raises:
            ValueError, TypeError: other texts.
        """
        path = self._folder / name
        if shared:
            values = self._values(shared)
            values[0] = path
            values[_INSTANCE], position, values[_TRUNCATED], values[_PIXELS_AT] = _decode(own)[0]
            values[_POSITION] = tuple(position)
            return DicomHeader(*values)
        if not own:
            return None
        if isinstance(known := json.loads(own), dict):
            return _volume(**known)
        what, hint = known
        return DicomError(what, where=path, hint=hint)

    def _values(self, shared: str) -> list[Any]:
        """Values of all fields in their order; None for those that a file does not share."""
        values = self._known.get(shared)
        if values is None:
            known = dict(zip(_SHARED, json.loads(shared), strict=True))
            values = [tuple(known[name]) if name in _TUPLES else known.get(name) for name in _FIELDS]
            self._known[shared] = values
        return values
