"""Which model sets there are, by name: those that come with the extension, and those in the user's folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import ModelsError
from CTInvarianceLib.config import MANIFEST, is_unfinished, layers_with_flows

_FOLDERS = "CTInvariance/ModelFolders"
STARTER = "starter"


def modelsFolder() -> Path:
    """Where new model sets are kept: Documents/CTInvariance in the user's home."""
    return Path.home() / "Documents" / "CTInvariance"


def addFolder(folder: str | Path) -> None:
    """Remember a model set, or a folder of model sets, in the application's settings.

    Raises:
        ModelsError: there is none in it.
    """
    folder = Path(folder)
    if not _setsIn(folder):
        raise ModelsError(
            _("there is no model set in this folder"),
            where=folder,
            hint=_("Choose a folder that `ctinvariance train` wrote; it holds a file {}.").format(MANIFEST),
        )
    known = [path for path in _remembered() if path != folder]
    _settings().setValue(_FOLDERS, ";".join(str(path) for path in [folder, *known]))


def modelSets(shipped: Path) -> dict[str, Path]:
    """Folders of model sets by name; where two have the same name, the later ones carry their parent's name too.

    Args:
        shipped: the extension's own folder of model sets.
    """
    found: dict[str, Path] = {}
    for parent in (shipped, modelsFolder(), *_remembered()):
        for path in _setsIn(parent):
            name = path.name if path.name not in found else f"{path.name} ({path.parent})"
            if path not in found.values():
                found[name] = path
    return found


def resolve(models: str | Path | None, shipped: Path) -> Path:
    """The folder of a model set given its name or folder; None: the first there is.

    Raises:
        ModelsError: there is none of this name.
    """
    sets = modelSets(shipped)
    if models is None and sets:
        return next(iter(sets.values()))
    if models is not None and str(models) in sets:
        return sets[str(models)]
    if models is not None and (Path(models) / MANIFEST).is_file():
        return Path(models)
    names = ", ".join(sets) or _("none")
    raise ModelsError(
        _("there is no model set") if models is None else _("there is no model set of this name"),
        where=models,
        hint=_("Known model sets: {}. Train one with `ctinvariance train`, or add its folder.").format(names),
    )


def _setsIn(folder: Path) -> list[Path]:
    """The folder itself where it is a model set, else those directly in it; none whose training is not finished."""
    if (folder / MANIFEST).is_file():
        return [] if is_unfinished(folder) else [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
    return [path for path in found if not is_unfinished(path)]


def _remembered() -> list[Path]:
    text = _settings().value(_FOLDERS) or ""
    return [Path(part) for part in str(text).split(";") if part]


def _settings() -> Any:
    return slicer.app.settings()


def stateOf(folder: Path) -> tuple[Path, int]:
    """The folder and when its manifest was last written: another value after another training.

    Raises:
        OSError: the manifest is gone.
    """
    return folder, (folder / MANIFEST).stat().st_mtime_ns


def require(folder: Path, denoiser: str, layer: str | None = None) -> None:
    """Check that a model set has a denoiser, and a flow for a layer of it.

    Raises:
        ModelsError: it has not; the message names those it has.
    """
    there = layers_with_flows(folder)
    if denoiser not in there:
        raise ModelsError(
            _("the model set {} has no denoiser of this name").format(folder.name),
            where=denoiser,
            hint=_("It has {}.").format(", ".join(there)),
        )
    if layer is not None and layer not in there[denoiser]:
        raise ModelsError(
            _("no flow is trained for this layer of {}").format(denoiser),
            where=layer,
            hint=_("Layers with flows: {}.").format(", ".join(there[denoiser]) or _("none")),
        )
