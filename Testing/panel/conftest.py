"""The bench for the tests here."""

import contextlib
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
    """Slicer without Slicer: an empty scene in the layout that it starts with, no boxes shown yet."""
    import slicer

    started = start_bench()
    slicer.mrmlScene.Clear(0)
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    for record in (started.messages, started.answers, started.errors, started.installed):
        record.clear()
    library = _modules(LIBRARY)
    yield started
    # A reload makes a second copy of the library, which the other tests know nothing of.
    if sys.modules.get(LIBRARY) is not library.get(LIBRARY):
        for name in _modules(LIBRARY, *PANEL):
            del sys.modules[name]
        sys.modules.update(library)


class KeptOpen:
    """A panel that stays open from test to test: a worker takes longer to start than most tests to run."""

    def __init__(self, models, folders):
        self._models, self._folders = models, folders
        self._stack, self._widget = contextlib.ExitStack(), None

    def open(self):
        from panel_bench import panel_with

        if self._widget is None:
            patch = self._stack.enter_context(pytest.MonkeyPatch.context())
            home = self._folders.mktemp("home")
            self._widget = self._stack.enter_context(panel_with(start_bench(), self._models, home, patch))
        return self._widget

    def close(self):
        self._widget = None
        self._stack.close()


@pytest.fixture(scope="module")
def _kept_open(tiny_spatial_models, tmp_path_factory):
    with contextlib.closing(KeptOpen(tiny_spatial_models, tmp_path_factory)) as kept:
        yield kept


@pytest.fixture
def panel(bench, _kept_open):
    """The bench, and a panel that has perhaps served other tests; scene and message are empty."""
    widget = _kept_open.open()
    widget.panel.say("")
    yield bench, widget
    bench.wait(lambda: not widget.logic.jobs.unfinished, what="the end of what the test has begun")
    if bench.errors:
        _kept_open.close()  # and fail


@pytest.fixture
def open_panel(bench, _kept_open, tiny_spatial_models, tmp_path, monkeypatch):
    """Opens a panel of the test's own, which it may damage or leave."""
    from panel_bench import panel_with

    def open_panel():
        _kept_open.close()
        return panel_with(bench, tiny_spatial_models, tmp_path, monkeypatch)

    return open_panel


@pytest.fixture
def new_panel(bench, open_panel):
    """The bench and a panel of the test's own."""
    with open_panel() as widget:
        yield bench, widget


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
