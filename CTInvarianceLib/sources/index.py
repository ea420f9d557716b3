"""What files hold, kept on disk so that a second scan of an unchanged tree reads no file again.

One SQLite file for all sources; a row holds a file's path, size, time of change, and what was found in it. It may be
deleted at any time, and a damaged one is: it is made anew. SQLite's own locks let several scans run at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from ..base import DicomError, Progress, VolumeError, unheard
from ..dicom import DICOM_SUFFIXES, read_header
from ..files import READABLE
from .header_text import Found, HeaderReader, written
from .index_rows import IndexRows, Row
from .listing import FileStamp
from .volume_facts import volume_facts

_BATCH = 500  # files between two commits
_DETACHED = (".nhdr", ".mhd")
_EVERY = 50  # files between two calls of progress


class HeaderIndex:
    """The index in a file; None keeps nothing.

    Attributes:
        file: where it lies.
        trouble: why nothing could be kept in the last scan, for the user; "" while all is well.
    """

    def __init__(self, file: Path | None) -> None:
        self.file, self.trouble = file, ""

    def headers(
        self, stamps: Sequence[FileStamp], *, progress: Progress = unheard
    ) -> Iterator[tuple[FileStamp, Found, bool]]:
        """What every file holds, and whether it had to be read for that; in the order given.

        Args:
            stamps: files with absolute paths, those of one folder one after the other.
            progress: gets the fraction that is done; what it raises stops the scan, and what was read is kept.
        """
        rows, new, number = IndexRows(self.file), list[Row](), 0
        try:
            for folder, several in groupby(stamps, lambda each: each.folder):
                known, reader = rows.known(folder), HeaderReader(Path(folder))
                for stamp in several:
                    if number % _EVERY == 0:
                        progress(number / len(stamps))
                    number += 1
                    found, fresh = _found(stamp, known.pop(os.fsencode(stamp.name), None), reader)
                    if fresh and _is_volume(stamp):  # takes as long as a hundred slices
                        progress(number / len(stamps))
                    if fresh and rows and _lasting(stamp, found):
                        new.append(_row(stamp, found))
                    yield stamp, found, fresh
                    if len(new) >= _BATCH:
                        rows.keep(new)
                        new = []
                rows.forget(folder, [name for name in known if not _is_there(folder, name)])
            rows.forget_folders({stamp.folder for stamp in stamps})
        finally:
            rows.keep(new)
            rows.close()
            self.trouble = rows.trouble
        progress(1.0)


def _found(
    stamp: FileStamp, row: tuple[int, int, str, str] | None, reader: HeaderReader
) -> tuple[Found, bool]:
    """What a file holds, from its row where that is of today, and whether it was read."""
    if row and row[0] == stamp.size and row[1] == stamp.changed:
        try:
            return reader.parsed(stamp.name, row[2], row[3]), False
        except (ValueError, TypeError):  # a row that somebody has changed
            pass
    return _read(stamp), True


def _read(stamp: FileStamp) -> Found:
    if not stamp.size:
        if _is_volume(stamp):
            return DicomError("the file is empty", where=stamp.path, hint="Copy or export it again.")
        suffix = os.path.splitext(stamp.name)[1].lower()  # noqa: PTH122
        if suffix not in ("", *DICOM_SUFFIXES) and not suffix[1:].isdigit():  # digits are the end of a UID
            return None
        return DicomError("the file is empty", where=stamp.path, hint="Copy or export it again.")
    try:
        return volume_facts(Path(stamp.path)) if _is_volume(stamp) else read_header(Path(stamp.path))
    except VolumeError as error:
        return error


def _is_volume(stamp: FileStamp) -> bool:
    return stamp.name.lower().endswith(READABLE)


def _lasting(stamp: FileStamp, found: Found) -> bool:
    """Whether it stays so while the file does not change.

    One without permission may be readable the next time, and some headers have their voxels in another file.
    """
    return not (
        stamp.name.lower().endswith(_DETACHED)
        or (isinstance(found, VolumeError) and isinstance(found.__cause__, OSError))
    )


def _row(stamp: FileStamp, found: Found) -> Row:
    return (os.fsencode(stamp.folder), os.fsencode(stamp.name), stamp.size, stamp.changed, *written(found))


def _is_there(folder: str, name: bytes) -> bool:
    return Path(folder, os.fsdecode(name)).exists()
