"""Folders that are ours to delete: each carries a mark with the identifier that we gave it."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path

from .atomic import writing

MARK = ".ctinvariance.json"
SCRATCH = "ctinvariance-"
"""How the name of a scratch folder begins; its whole name is its identifier."""

_PROGRAM = "CTInvariance"


def new_identifier() -> str:
    """One that no other folder has."""
    return uuid.uuid4().hex


def mark_ours(folder: Path, identifier: str) -> None:
    """Make a folder if need be, and mark it as ours."""
    with writing(folder / MARK) as part:
        part.write_text(json.dumps({"program": _PROGRAM, "identifier": identifier}), "utf-8")


def identifier_of(folder: Path) -> str | None:
    """What the mark of a folder says; None: it carries none, is a link, or belongs to somebody else."""
    path = folder / MARK
    try:
        if folder.is_symlink() or path.is_symlink() or not path.is_file():
            return None
        if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            return None
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(found, dict) and found.get("program") == _PROGRAM
    return found["identifier"] if known and isinstance(found.get("identifier"), str) else None


def is_ours(folder: Path, identifier: str) -> bool:
    """Whether a folder carries our mark with just this identifier."""
    return identifier_of(folder) == identifier


def is_scratch(folder: Path) -> bool:
    """Whether a folder was made for arrays on their way between panel and worker."""
    return folder.name.startswith(SCRATCH) and is_ours(folder, folder.name)


def remove_ours(folder: Path, identifier: str) -> bool:
    """Remove a folder with all in it if it is ours; else nothing happens, and False is returned.

    The mark goes last: what is left of an interrupted removal is still known to be ours.

    Raises:
        OSError: something in it cannot be removed.
    """
    if not is_ours(folder, identifier):
        return False
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        elif each.name != MARK:
            each.unlink(missing_ok=True)
    shutil.rmtree(folder)
    return True
