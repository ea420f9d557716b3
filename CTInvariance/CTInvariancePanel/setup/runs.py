"""Which trainings there are that have not come to their end: in Documents/CTInvariance, and wherever one was begun."""

from __future__ import annotations

from pathlib import Path

import slicer

from CTInvarianceLib.config import REQUEST, State, is_unfinished, read_standing

from .modelsets import modelsFolder

_FOLDERS = "CTInvariance/Trainings"
_GO_ON = "CTInvariance/GoOnWhenSlicerCloses"
_MOST = 20


def remember(folder: Path) -> None:
    """A training was begun in a folder."""
    known = [path for path in _remembered() if path != folder and is_unfinished(path)]
    slicer.app.settings().setValue(_FOLDERS, ";".join(str(path) for path in [folder, *known[:_MOST]]))


def unfinished() -> list[Path]:
    """Folders of trainings that can be gone on with, the latest first; those that were cancelled are left out."""
    found = {path.parent for path in modelsFolder().glob(f"*/{REQUEST}")} | set(_remembered())
    dated = [(_date(path), path) for path in found if is_unfinished(path) and not _cancelled(path)]
    return [path for _date_, path in sorted(dated, reverse=True)]


def newFolder(name: str) -> Path:
    """A folder of that name, or of that name with a number, which is not there yet."""
    folder, number = modelsFolder() / name, 2
    while folder.exists():
        folder, number = modelsFolder() / f"{name} {number}", number + 1
    return folder


def goesOn() -> bool:
    """Whether people want trainings to go on when Slicer closes."""
    return str(slicer.app.settings().value(_GO_ON, "")).lower() in ("true", "1")


def setGoesOn(on: bool) -> None:
    """Remember it."""
    slicer.app.settings().setValue(_GO_ON, on)


def _remembered() -> list[Path]:
    text = slicer.app.settings().value(_FOLDERS) or ""
    return [Path(part) for part in str(text).split(";") if part]


def _cancelled(folder: Path) -> bool:
    standing = read_standing(folder)
    return standing is not None and standing.state == State.CANCELLED


def _date(folder: Path) -> float:
    try:
        return (folder / REQUEST).stat().st_mtime
    except OSError:
        return 0.0
