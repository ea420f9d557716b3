"""Installs what the networks need into Slicer's Python, after asking: PyTorch through its extension, then the rest.

PyTorch goes first: pip would otherwise fetch some build of it for the others, often the wrong one for the computer.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from .requirements import TORCH, Requirement, check, stillInMemory, torchExtension, versions

__all__ = ["Requirement", "check", "clearResume", "install", "markResume", "resumePending"]

WHEELS_ONLY = "--only-binary=:all:"  # nobody's Slicer should start a compiler
_RESUME = "CTInvariance/ResumeInstall"
_KEPT = ("numpy", TORCH)  # Slicer and its extensions were built against these: not to be exchanged


def install(
    ask: Callable[[str], bool],
    log: Callable[[str], object],
    done: Callable[[str], object],
    *,
    packaging: Any = None,
    torchUtils: Any = None,
    settings: Any = None,
) -> None:
    """Install what is missing. Returns at once with Slicer 5.11 and later; earlier ones block.

    Args:
        ask: shown the question, returns whether people agree, as `slicer.util.confirmOkCancelDisplay`.
        log: called with every line of output.
        done: called once with a sentence that says how it went.
        packaging: `slicer.packaging`, or `slicer.util` before 5.11; found where it is not given.
        torchUtils: the logic of the extension PyTorch; found where it is not given.
        settings: a QSettings for `markResume`; the application's where it is not given.
    """
    missing = [each for each in check() if not each.ok]
    if not missing:
        done(_("Everything is installed."))
    elif _testing():
        done(_("Slicer is testing: nothing is installed."))
    elif not ask(_question(missing)):
        done(_("Nothing was installed."))
    else:
        _Installation(
            log,
            done,
            _packaging() if packaging is None else packaging,
            _torchUtils() if torchUtils is None else torchUtils,
            slicer.app.settings() if settings is None else settings,
        ).start(missing)


def resumePending(settings: Any) -> bool:
    """Whether an installation waits for its continuation after a restart."""
    return str(settings.value(_RESUME, "")).lower() in ("true", "1")


def markResume(settings: Any) -> None:
    """Remember to go on after the restart."""
    settings.setValue(_RESUME, True)


def clearResume(settings: Any) -> None:
    """Forget it."""
    settings.remove(_RESUME)


class _Installation:
    """One run; ends with exactly one call of `done`."""

    def __init__(
        self,
        log: Callable[[str], object],
        done: Callable[[str], object],
        packaging: Any,
        torchUtils: Any,
        settings: Any,
    ) -> None:
        self._log, self._done = log, done
        self._packaging, self._torchUtils, self._settings = packaging, torchUtils, settings
        self._before = versions()
        self._complaint = ""

    def start(self, missing: list[Requirement]) -> None:
        """PyTorch, then the rest."""
        torch = [each for each in missing if each.name == TORCH]
        rest = [each for each in missing if each.name != TORCH]
        if torch and not self._installTorch(torch[0]):
            return
        if rest:
            self._installRest(rest)
        else:
            self._finish(torch)

    def _installTorch(self, torch: Requirement) -> bool:
        if self._torchUtils is None:
            markResume(self._settings)
            self._done(
                _(
                    "Slicer's extension PyTorch is missing. Install it in the Extensions Manager and restart Slicer; "
                    "the installation then goes on here."
                )
            )
            return False
        self._log(_("Installing PyTorch; this takes some minutes."))
        try:  # imports torch into Slicer in the end; there is no way around it
            self._torchUtils.installTorch(torchVersionRequirement=torch.needed)
        except Exception as error:  # whatever pip, the network or the disk came up with
            self._complaint = str(error)
        if not check()[0].ok:
            self._fail([torch])
            return False
        return True

    def _installRest(self, rest: list[Requirement]) -> None:
        kept = [f"{name}=={version}" for name in _KEPT if (version := versions().get(name))]
        arguments = [WHEELS_ONLY, *(each.spec for each in rest), *kept]
        self._log("pip install " + " ".join(arguments))
        try:
            if hasattr(self._packaging, "pip_ensure"):
                self._packaging.pip_install(
                    arguments,
                    blocking=False,
                    show_progress=False,
                    logCallback=self._onLine,
                    completedCallback=lambda code: self._finish(rest),
                )
            else:
                self._packaging.pip_install(arguments)
                self._finish(rest)
        except Exception as error:
            self._complaint = str(error)
            self._fail(rest)

    def _onLine(self, line: str) -> None:
        self._log(line)
        if line.strip().lower().startswith("error"):
            self._complaint = line.strip()

    def _finish(self, wanted: list[Requirement]) -> None:
        """Whatever pip's exit code was: what counts is what is there now."""
        names = {each.name for each in wanted}
        absent = [each for each in check() if each.name in names and not each.ok]
        if absent:
            self._fail(absent)
        elif stale := stillInMemory(self._before):
            markResume(self._settings)
            self._done(
                _("Restart Slicer: it still uses the earlier versions of {}.").format(", ".join(stale))
            )
        else:
            clearResume(self._settings)
            self._done(_("Everything is installed."))

    def _fail(self, absent: list[Requirement]) -> None:
        names = ", ".join(each.name for each in absent)
        reason = self._complaint or _("the log says more")
        self._done(
            _("{} could not be installed: {}. To try by hand: {}").format(
                names, reason.rstrip("."), pipLine(absent)
            )
        )


def pipLine(missing: list[Requirement]) -> str:
    """What to type into a terminal, of any system."""
    parts = [sys.executable, "-m", "pip", "install", WHEELS_ONLY, *(each.spec for each in missing)]
    return " ".join(part if re.fullmatch(r"[\w./\\:=-]+", part) else f'"{part}"' for part in parts)


def _question(missing: list[Requirement]) -> str:
    lines = "\n".join(f"  {each.spec}: {each.why}" for each in missing)
    size = _("PyTorch takes 0.2 to 3 GB.") if missing[0].name == TORCH else ""
    return "\n\n".join(
        part
        for part in (
            _("These packages are downloaded from PyPI and installed into Slicer's own Python:"),
            lines,
            size,
            _("Install them now?"),
        )
        if part
    )


def _testing() -> bool:
    app = getattr(slicer, "app", None)
    return app is not None and bool(app.testingEnabled())


def _packaging() -> Any:
    try:
        return importlib.import_module("slicer.packaging")
    except ImportError:  # Slicer 5.10
        return slicer.util


def _torchUtils() -> Any:
    if not torchExtension():
        return None
    return importlib.import_module("PyTorchUtils").PyTorchUtilsLogic()
