"""Which files are volumes, by the end of their names."""

from __future__ import annotations

from pathlib import Path

from ..base import PathLike, VolumeError

WRITABLE = (".nrrd", ".nii.gz", ".nii", ".mha")

READABLE = (*WRITABLE, ".nhdr", ".mhd")


def volume_suffix(path: Path) -> str | None:
    """The suffix that makes `path` a volume file, in lower case; None for anything else."""
    return next((suffix for suffix in READABLE if path.name.lower().endswith(suffix)), None)


def writable_suffix(path: PathLike) -> str:
    """The suffix of a volume file to write; VolumeError where it is of no format that can be written."""
    suffix = volume_suffix(Path(path))
    if suffix is None or suffix not in WRITABLE:
        raise VolumeError("not a format to write", where=path, hint=f"Use one of {' '.join(WRITABLE)}.")
    return suffix
