"""Files that appear whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import VolumeError


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with the same ending; it takes the name when the block ends well.

    The folder is made if need be. Where the block fails, nothing stays behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}{''.join(path.suffixes)}")
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
        raise VolumeError("cannot be written", where=path, hint=f"{error}") from error
