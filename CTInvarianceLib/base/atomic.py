"""Files and folders that appear whole or not at all; what a killed process left of them is swept by the next one."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from .errors import CTInvarianceError, VolumeError

_OURS = re.compile(r"\.ctinvariance-[0-9a-f]{32}(\..*)?")
_OLD_S = 3600.0  # since the last change: nothing takes that long to be written


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with the same ending; it takes the name when the block ends well.

    The folder is made if need be. Where the block fails, nothing stays behind. The ending is in small letters: of one
    in capitals some libraries make others.
    """
    with _unfinished(path, "".join(path.suffixes).lower()) as part:
        yield part
        part.replace(path)


@contextmanager
def writing_folder(folder: Path) -> Iterator[Path]:
    """The same of a folder: an empty one that takes the name, with all that it then holds, when the block ends well.

    A folder of that name is replaced as a whole, see `require_replaceable`.
    """
    folder = folder.resolve()
    with _unfinished(folder) as part:
        part.mkdir()
        yield part
        _replace_folder(part, folder)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """`writing` for volumes: what fails becomes one error that names the file.

    Raises:
        VolumeError: the folder cannot be made or written to.
    """
    try:
        with writing(path) as unfinished:
            yield unfinished
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VolumeError(
            "cannot be written", where=path, hint=f"Choose another place ({reason})."
        ) from error


@contextmanager
def _unfinished(path: Path, ending: str = "") -> Iterator[Path]:
    """A hidden name beside `path`, of which nothing is left behind; errors tell of `path` instead."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep_once(path.parent)
    part = path.with_name(f".ctinvariance-{uuid.uuid4().hex}{ending}")
    try:
        yield part
    except OSError as error:
        error.filename = str(error.filename or path).replace(str(part), str(path))  # a full disk has no name
        raise
    except CTInvarianceError as error:
        error.where = error.where and str(error.where).replace(str(part), str(path))
        raise
    finally:
        _remove(part)


def _replace_folder(part: Path, folder: Path) -> None:
    if not folder.exists():
        part.rename(folder)
        return
    with _unfinished(folder) as aside:
        os.utime(folder)  # not old to whoever sweeps
        folder.rename(aside)
        try:
            part.rename(folder)
        except BaseException:
            aside.rename(folder)
            raise


@lru_cache(maxsize=1)  # who writes a thousand files into a folder looks once
def _sweep_once(folder: Path) -> None:
    sweep(folder)


def sweep(folder: Path, *, older_s: float = _OLD_S) -> None:
    """Remove what killed processes left in a folder: only what has our mark and is so old.

    Args:
        folder: its subfolders are not looked into.
        older_s: time since the last change, s; 0 only where nobody else can be writing.
    """
    oldest = time.time() - older_s
    with suppress(OSError):
        for each in os.scandir(folder):
            if _OURS.fullmatch(each.name) and each.stat(follow_symlinks=False).st_mtime < oldest:
                _remove(Path(each.path))


def _remove(part: Path) -> None:
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


def require_place(path: Path, *, overwrite: bool = True) -> None:
    """Raise where a file, or a folder's files, cannot be written: before the work that they are to keep.

    Args:
        path: of the file.
        overwrite: whether one of that name may be replaced.

    Raises:
        VolumeError: a folder has that name already, a file has and may not be replaced, or the first folder above that
            exists cannot be written to.
    """
    if path.is_dir():
        raise VolumeError(
            "cannot be written, as a folder has that name", where=path, hint="Choose another name."
        )
    if not overwrite and os.path.lexists(path):
        raise VolumeError(
            "there is a file of that name already",
            where=path,
            hint="Choose another name, or allow to replace it with --overwrite.",
        )
    require_folder(path.absolute().parent)


def require_replaceable(folder: Path, names: frozenset[str], *, overwrite: bool = True) -> None:
    """Raise where `writing_folder` must not write a folder of files of these names.

    Args:
        folder: of the result.
        names: the only files, relative to it, that may be lost when it is replaced.
        overwrite: whether they may.

    Raises:
        VolumeError: a file has that name, the folder holds other files, or files that may not be replaced; it is a disk
            or the current folder; or it cannot be made.
    """
    require_folder(folder.absolute())
    folder = folder.resolve()
    if folder == Path.cwd() or folder.is_mount():
        raise VolumeError(
            "a result is a folder of its own, which this one cannot become",
            where=folder,
            hint="Name a new folder in it.",
        )
    require_folder(folder.parent)
    files = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    found = [path.relative_to(folder).as_posix() for path in files]
    if others := [name for name in found if name not in names]:
        raise VolumeError(
            f"the folder holds other files, such as {others[0]}", where=folder, hint="Choose another folder."
        )
    if found and not overwrite:
        raise VolumeError(
            "the folder holds a result already",
            where=folder,
            hint="Choose another folder, or allow to replace it with --overwrite.",
        )


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
