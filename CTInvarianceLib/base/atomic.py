"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import VolumeError


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with the same ending; it takes the name when the block ends well.

    The folder is made if need be. Where the block fails, nothing stays behind. The ending is in small letters: of one
    in capitals ITK makes others.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}{''.join(path.suffixes).lower()}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """`writing` for volumes: what fails becomes one error that names the file.

    Raises:
        VolumeError: the folder cannot be made or written to.
    """
    try:
        with writing(path) as unfinished:
            yield unfinished
    except (OSError, RuntimeError) as error:  # SimpleITK raises RuntimeError
        reason = getattr(error, "strerror", None) or error
        raise VolumeError(
            "cannot be written", where=path, hint=f"Choose another place ({reason})."
        ) from error


def require_place(path: Path) -> None:
    """Raise where a file, or a folder's files, cannot be written: before the work that they are to keep.

    Raises:
        VolumeError: a folder has that name already, or the first folder above that exists cannot be written to.
    """
    if path.is_dir():
        raise VolumeError(
            "cannot be written, as a folder has that name", where=path, hint="Choose another name."
        )
    require_folder(path.absolute().parent)


def require_folder(folder: Path) -> None:
    """The same of a folder that files are to be written to, and that may have to be made.

    Raises:
        VolumeError: see `require_place`.
    """
    above = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not above.is_dir():
        raise VolumeError("cannot be written, as that is a file", where=above, hint="Choose another place.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise VolumeError("no permission to write to this folder", where=above, hint="Choose another place.")
