"""The bench for the tests here."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("slicer"):  # no wheel for every machine: the tests then skip, and say so
    from bench import start_bench

    start_bench()  # it makes the modules that Slicer has and slicer-core lacks

PANEL, LIBRARY = ("CTInvariance", "CTInvariancePanel"), "CTInvarianceLib"


@pytest.fixture
def bench():
    """Slicer without Slicer: an empty scene, no boxes shown yet."""
    import slicer

    started = start_bench()
    slicer.mrmlScene.Clear(0)
    for record in (started.messages, started.answers, started.errors, started.installed):
        record.clear()
    library = _modules(LIBRARY)
    yield started
    # A reload makes a second copy of the library, which the other tests know nothing of.
    if sys.modules.get(LIBRARY) is not library.get(LIBRARY):
        for name in _modules(LIBRARY, *PANEL):
            del sys.modules[name]
        sys.modules.update(library)


@pytest.fixture
def scene():
    """A scene of its own."""
    import slicer

    return slicer.vtkMRMLScene()


@pytest.fixture
def node(scene):
    """A CT volume in it."""
    import mrml

    return mrml.volume(scene)


@pytest.fixture
def brought_in():
    """Which of some modules a statement imports, in a fresh Python that has the panel but no Qt."""
    path = str(Path(__file__).parents[2] / "CTInvariance")

    def after(statement: str, names: tuple[str, ...]) -> str:
        code = (
            "import sys, types; sys.modules['slicer.i18n'] = types.SimpleNamespace(tr=str);"
            f"sys.path.insert(0, {path!r}); {statement};"
            f"print([name for name in {names!r} if name in sys.modules])"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return run.stdout.strip()

    return after


def _modules(*packages: str) -> dict:
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] in packages}
