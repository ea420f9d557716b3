"""The bench for the tests here."""

import importlib.util
import sys

import pytest

if importlib.util.find_spec("slicer") and importlib.util.find_spec("PySide6"):
    from bench import start_bench

    start_bench()  # it makes the modules that Slicer has and slicer-core lacks
else:
    collect_ignore_glob = ["*"]  # slicer-core has no wheel for this machine

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


def _modules(*packages: str) -> dict:
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] in packages}
