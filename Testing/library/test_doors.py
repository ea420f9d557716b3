"""A wing's `__init__` is its door: it says what the wing is for, and from other wings nobody reaches past it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "CTInvarianceLib": ROOT / "CTInvarianceLib",
    "CTInvariancePanel": ROOT / "CTInvariance" / "CTInvariancePanel",
}


def place(file: Path, package: str) -> tuple[str, ...]:
    """The package and the wing that a file belongs to, as far as it lies in one."""
    return (package, *file.relative_to(PACKAGES[package]).parts[:-1])


def imported(file: Path, package: str) -> Iterator[str]:
    """The modules that a file imports names from, as dotted names."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            own = place(file, package)
            above = own[: len(own) + 1 - node.level] if node.level else ()
            yield ".".join([*above, *filter(None, [node.module])])


def past_the_door(module: str, own: tuple[str, ...]) -> bool:
    """Whether a module lies inside another wing than one's own."""
    package, *path = module.split(".")
    return package in PACKAGES and len(path) > 1 and (package, path[0]) != own[:2]


@pytest.mark.parametrize(
    ("module", "own", "wrong"),
    [
        ("CTInvarianceLib.dicom", ("CTInvarianceLib", "data"), False),
        ("CTInvarianceLib.dicom.header", ("CTInvarianceLib", "data"), True),
        ("CTInvarianceLib.dicom.header", ("CTInvarianceLib", "dicom"), False),
        ("CTInvarianceLib.config.manifest", ("CTInvariancePanel", "setup"), True),
        ("CTInvariancePanel.nodes.samples", ("CTInvariancePanel",), True),
        ("torch.nn.functional", ("CTInvarianceLib", "data"), False),
    ],
)
def test_the_rule(module, own, wrong):
    assert past_the_door(module, own) is wrong


def test_nobody_reaches_past_a_door():
    found = {
        f"{file.relative_to(ROOT)}: {module}"
        for package, root in PACKAGES.items()
        for file in root.rglob("*.py")
        for module in imported(file, package)
        if past_the_door(module, place(file, package))
    }
    assert not found


def test_every_door_says_what_its_wing_is_for():
    doors = [path for root in PACKAGES.values() for path in root.glob("*/__init__.py")]
    assert len(doors) > 20
    assert [
        path.parent.name for path in doors if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ] == []
