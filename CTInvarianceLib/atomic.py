"""Files that appear whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
