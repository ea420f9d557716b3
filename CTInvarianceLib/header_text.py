"""What a DICOM file holds, as two short texts: what it shares with its series, and its own."""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from .dicom_tags import DicomHeader
from .errors import DicomError

Found = DicomHeader | DicomError | None
"""What a file holds: a header, damage, or nothing of DICOM."""

_VERSION = 1  # raise it when headers are read differently
_OWN = ("instance_uid", "position", "truncated")  # differ from slice to slice
_SHARED = tuple(each.name for each in fields(DicomHeader) if each.name not in ("path", *_OWN))
_TUPLES = frozenset(each.name for each in fields(DicomHeader) if "tuple" in str(each.type))

FORMAT = zlib.crc32(repr((_VERSION, _OWN, _SHARED)).encode()) & 0x7FFFFFFF
"""Changes whenever texts of another version could not be understood."""

_shared_of, _own_of = attrgetter(*_SHARED), attrgetter(*_OWN)
_encode = json.JSONEncoder(separators=(",", ":")).encode


def written(found: Found) -> tuple[str, str]:
    """Both texts."""
    if found is None:
        return "", ""
    if isinstance(found, DicomError):
        return "", _encode([found.what, found.hint])
    return _encode(_shared_of(found)), _encode(_own_of(found))


class HeaderReader:
    """Turns texts back into headers; equal texts give the same values, which saves time and memory.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, dict[str, Any]] = {}

    def parsed(self, name: str, shared: str, own: str) -> Found:
        """What `written` was given of the file of this name.

        Raises:
            ValueError, TypeError, KeyError: other texts.
        """
        if not shared:
            if not own:
                return None
            what, hint = json.loads(own)
            return DicomError(what, where=self._folder / name, hint=hint)
        common = self._known.get(shared)
        if common is None:
            common = {
                name: tuple(value) if name in _TUPLES else value
                for name, value in zip(_SHARED, json.loads(shared), strict=True)
            }
            self._known[shared] = common
        instance, position, truncated = json.loads(own)
        return DicomHeader(
            self._folder / name,
            instance_uid=instance,
            position=tuple(position),
            truncated=truncated,
            **common,
        )
