"""What the networks need in Slicer's Python, and what of it is there; told from metadata, nothing is imported."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

TORCH, TORCH_NEEDED = "torch", ">=2.8"


@dataclass(frozen=True)
class Requirement:
    """One package.

    Attributes:
        name: as pip knows it.
        needed: its lowest version, such as ">=1.5".
        found: the version that is installed; "" without one.
        ok: whether that is enough.
        why: what it is for, in a few words.
    """

    name: str
    needed: str
    found: str
    ok: bool
    why: str

    @property
    def spec(self) -> str:
        """What pip is asked for."""
        return self.name + self.needed


def check(file: Path | None = None) -> list[Requirement]:
    """PyTorch, then the packages of requirements.txt, without importing any of them."""
    importlib.invalidate_caches()  # pip runs in a process of its own
    needed = {TORCH: TORCH_NEEDED, **_read(file or requirementsFile())}
    return [_look(name, version) for name, version in needed.items()]


def requirementsFile() -> Path:
    """Resources/requirements.txt, beside the installed module or, in the source tree, one folder further up."""
    here = Path(__file__).resolve()
    places = [here.parents[level] / "Resources" / "requirements.txt" for level in (2, 3)]
    return next((place for place in places if place.is_file()), places[0])


def torchExtension() -> bool:
    """Whether Slicer's extension PyTorch is installed, which knows the right build for this computer."""
    return importlib.util.find_spec("PyTorchUtils") is not None


def versions() -> dict[str, str]:
    """Everything that is installed, with its version."""
    importlib.invalidate_caches()
    return {dist.name: dist.version for dist in importlib.metadata.distributions() if dist.name}


def stillInMemory(before: dict[str, str]) -> list[str]:
    """Distributions that have another version now while their modules are imported already."""
    after = versions()
    changed = {name for name, version in before.items() if after.get(name, version) != version}
    if not changed:
        return []
    owners = importlib.metadata.packages_distributions()
    return sorted({name for module in sys.modules for name in owners.get(module, ()) if name in changed})


def _read(file: Path) -> dict[str, str]:
    lines = (line.strip() for line in file.read_text("utf-8").splitlines())
    found = (re.fullmatch(r"([\w.-]+)(>=[\d.]+)", line) for line in lines if not line.startswith("#"))
    return {match[1]: match[2] for match in found if match}


def _look(name: str, needed: str) -> Requirement:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        version = ""
    # Metadata may outlive the package, where an installation was interrupted.
    there = importlib.util.find_spec(name.replace("-", "_")) is not None
    ok = bool(version) and there and _release(version) >= _release(needed)
    return Requirement(name, needed, version if there else "", ok, _why(name))


def _release(version: str) -> tuple[int, ...]:
    """2.8.0+cu128 as (2, 8, 0), >=2.8 too; release candidates count as the release."""
    numbers = [int(number) for number in re.findall(r"\d+", version.partition("+")[0])]
    return (*numbers, 0, 0, 0)[:3]


def _why(name: str) -> str:
    if name == TORCH:
        through = _("through the extension PyTorch")
        return _("computes the networks, {}").format(through if torchExtension() else _("extension missing"))
    return {
        "monai": _("blocks of the networks"),
        "lightning-fabric": _("training on one or several GPUs"),
        "safetensors": _("reads and writes trained models"),
        "matplotlib": _("figures of the report"),
        "rich": _("tables in the log"),
        "platformdirs": _("where converted series are kept"),
        "filelock": _("several programs using them at once"),
        "pydantic": _("checks settings"),
    }.get(name, "")
