"""The bench for the tests here."""

import sys

import pytest
from bench import start_bench


@pytest.fixture
def bench():
    """Slicer without Slicer: an empty scene, no boxes shown yet."""
    import slicer

    started = start_bench()
    slicer.mrmlScene.Clear(0)
    for record in (started.messages, started.answers, started.errors, started.installed):
        record.clear()
    modules = {name: module for name, module in sys.modules.items() if name.startswith("CTInvariance")}
    yield started
    # A reload makes a second copy of the library, which the other tests know nothing of.
    sys.modules.update(modules)
