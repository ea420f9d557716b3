"""What is missing is said, asked for and installed.

Slicer's packaging tools cannot be here: a stand-in records what pip is asked for and answers as they do. The
extension PyTorch is a stand-in too. Nothing is downloaded, and what is installed is told from dressed-up metadata.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
import tomllib
import types
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
REPOSITORY = Path(__file__).parents[3]
install = pytest.importorskip("CTInvariancePanel.setup.install")
requirements = pytest.importorskip("CTInvariancePanel.setup.requirements")

COMPLETE = {
    "torch": "2.8.0+cu128",
    "monai": "1.5.1",
    "lightning-fabric": "2.5.0",
    "safetensors": "0.6",
    "matplotlib": "3.10.7",
    "rich": "14.0",
    "platformdirs": "4.4.0",
    "filelock": "3.20.0",
    "pydantic": "2.12.0",
    "numpy": "2.4.0",
}


@pytest.fixture
def python(monkeypatch):
    """Slicer's Python: what is installed in it, by name; changed by the tests."""
    there = dict(COMPLETE)

    def version(name):
        if name not in there:
            raise importlib.metadata.PackageNotFoundError(name)
        return there[name]

    def distributions():
        return [types.SimpleNamespace(name=name, version=number) for name, number in there.items()]

    monkeypatch.setattr(install, "_testing", lambda: False)
    find_spec = importlib.util.find_spec
    modules = {name.replace("-", "_") for name in COMPLETE} | {"PyTorchUtils"}
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "distributions", distributions)
    monkeypatch.setattr(
        importlib.metadata, "packages_distributions", lambda: {"rich": ["rich"], "numpy": ["numpy"]}
    )
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: (name.replace("_", "-") in there or None) if name in modules else find_spec(name),
    )
    return there


class Packaging:
    """`slicer.packaging` of 5.11: pip runs on its own and reports; `finish` is when it ends."""

    def __init__(self, python, fails=""):
        self.python, self.fails, self.asked = python, fails, []

    def pip_ensure(self):
        raise AssertionError("asks and shows dialogs of its own")

    def pip_install(self, arguments, *, blocking, show_progress, logCallback, completedCallback):
        assert not blocking
        assert not show_progress
        self.asked, self._log, self._completed = arguments, logCallback, completedCallback

    def finish(self):
        if self.fails:
            self._log(f"ERROR: {self.fails}")
            return self._completed(1)
        self._log("Successfully installed")
        self.python |= {name: version for name, version in COMPLETE.items() if name != "torch"}
        return self._completed(0)


class OldPackaging:
    """`slicer.util` of 5.10: pip blocks."""

    def __init__(self, python):
        self.python, self.asked = python, []

    def pip_install(self, arguments):
        self.asked = arguments
        self.python |= COMPLETE


class TorchUtils:
    """The logic of the extension PyTorch."""

    def __init__(self, python, fails=False):
        self.python, self.fails, self.asked = python, fails, []

    def installTorch(self, askConfirmation=False, forceComputationBackend=None, torchVersionRequirement=None):
        self.asked.append(torchVersionRequirement)
        if self.fails:
            raise RuntimeError("no space left on device")
        self.python["torch"] = COMPLETE["torch"]


class Settings(dict):
    """QSettings as it answers after a restart: text."""

    def value(self, key, default=None):
        return self.get(key, default)

    def setValue(self, key, value):
        self[key] = str(value).lower()

    def remove(self, key):
        self.pop(key, None)


class Run:
    """One call of `install` and all that it said."""

    def __init__(self, packaging, torchUtils=None, agree=True, settings=None):
        self.questions, self.lines, self.done = [], [], []
        self.settings = Settings() if settings is None else settings
        install.install(
            lambda text: self.questions.append(text) or agree,
            self.lines.append,
            self.done.append,
            packaging=packaging,
            torchUtils=torchUtils,
            settings=self.settings,
        )


def test_the_floors_are_those_of_the_library():
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        library = tomllib.load(file)["project"]["dependencies"]
    ours = {each.spec for each in install.check()}
    slicers = {"numpy>=2", "pydicom>=3", "SimpleITK>=2.4"}
    speed = {"pylibjpeg[rle]>=2"}  # of RLE alone, which pydicom decodes without it too
    assert ours | slicers | speed == set(library)


def test_every_line_is_a_package_with_a_floor():
    lines = requirements.requirementsFile().read_text("utf-8").splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z-]+>=[\d.]+", line) for line in packages)
    assert len(packages) == len(install.check()) - 1
    assert all(each.why for each in install.check())


def test_what_is_there_is_told_from_metadata(python):
    assert all(each.ok for each in install.check())
    python["monai"] = "1.4.9"
    python["torch"] = "2.10.0a1+cpu"
    del python["rich"]
    found = {each.name: each for each in install.check()}
    assert (found["monai"].found, found["monai"].ok) == ("1.4.9", False)
    assert (found["rich"].found, found["rich"].ok) == ("", False)
    assert found["torch"].ok
    assert install.check()[0].name == "torch"


def test_looking_imports_nothing(brought_in):
    statement = "from CTInvariancePanel.setup import install; install.check()"
    assert brought_in(statement, ("torch", "monai", "matplotlib")).endswith("[]")


def test_nothing_is_done_without_need_or_consent(python):
    run = Run(packaging := Packaging(python))
    assert (run.questions, run.done) == ([], ["Everything is installed."])
    del python["rich"]
    run = Run(packaging, agree=False)
    assert "rich>=13: tables in the log" in run.questions[0]
    assert "PyTorch" not in run.questions[0]
    assert (run.done, packaging.asked) == (["Nothing was installed."], [])


def test_a_testing_slicer_installs_nothing(python, monkeypatch):
    """Its dialogs answer yes by themselves."""
    del python["rich"]
    monkeypatch.setattr(install, "_testing", lambda: True)
    run = Run(packaging := Packaging(python))
    assert (run.questions, packaging.asked) == ([], [])
    assert run.done == ["Slicer is testing: nothing is installed."]


def test_only_what_is_missing_comes_as_wheels_and_nothing_is_exchanged(python):
    del python["rich"]
    del python["safetensors"]
    run = Run(packaging := Packaging(python))
    assert packaging.asked == [
        "--only-binary=:all:",
        "safetensors>=0.5",
        "rich>=13",
        "numpy==2.4.0",
        "torch==2.8.0+cu128",
    ]
    assert run.done == []  # pip is still at work, and nobody waits
    packaging.finish()
    assert run.done == ["Everything is installed."]
    assert "Successfully installed" in run.lines


def test_torch_comes_first_and_through_its_extension(python):
    python.clear()
    run = Run(packaging := Packaging(python), torch := TorchUtils(python))
    assert torch.asked == [">=2.8"]
    assert "torch==2.8.0+cu128" in packaging.asked
    assert "0.2 to 3 GB" in run.questions[0]
    packaging.finish()
    assert run.done == ["Everything is installed."]


def test_without_the_extension_pip_fetches_no_torch(python, monkeypatch):
    del python["torch"]
    del python["monai"]
    monkeypatch.setattr(install, "torchExtension", lambda: False)
    run = Run(packaging := Packaging(python))
    assert packaging.asked == []
    assert "extension PyTorch is missing. Install it in the Extensions Manager and restart" in run.done[0]
    assert install.resumePending(run.settings)


def test_slicer_5_10(python):
    del python["rich"]
    run = Run(packaging := OldPackaging(python))
    assert packaging.asked[:2] == ["--only-binary=:all:", "rich>=13"]
    assert run.done == ["Everything is installed."]


def test_a_failure_says_what_why_and_the_line_to_try(python, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/opt/Slicer 5.12/bin/PythonSlicer")
    del python["rich"]
    run = Run(packaging := Packaging(python, fails="No matching distribution found for rich>=13"))
    packaging.finish()
    assert run.done == [
        "rich could not be installed: ERROR: No matching distribution found for rich>=13. To try by hand: "
        '"/opt/Slicer 5.12/bin/PythonSlicer" -m pip install --only-binary=:all: "rich>=13"'
    ]
    del python["torch"]
    run = Run(packaging, TorchUtils(python, fails=True))
    assert run.done[0].startswith("torch could not be installed: no space left on device. To try by hand:")


def test_pip_that_claims_success_is_not_believed(python):
    del python["rich"]
    run = Run(packaging := Packaging(python))
    packaging._completed(0)
    assert run.done[0].startswith("rich could not be installed: the log says more.")


def test_a_restart_is_asked_for_and_remembered(python, monkeypatch):
    python["rich"] = "12.0"
    monkeypatch.setitem(sys.modules, "rich", types.ModuleType("rich"))
    run = Run(packaging := Packaging(python))
    packaging.finish()
    assert run.done == ["Restart Slicer: it still uses the earlier versions of rich."]
    assert install.resumePending(run.settings)
    monkeypatch.delitem(sys.modules, "rich")
    del python["monai"]
    run = Run(packaging, settings=run.settings)
    packaging.finish()
    assert run.done == ["Everything is installed."]
    assert not install.resumePending(run.settings)


def test_the_mark_survives_in_a_real_settings_file(tmp_path):
    core = pytest.importorskip("PySide6.QtCore")
    settings = core.QSettings(str(tmp_path / "s.ini"), core.QSettings.IniFormat)
    assert not install.resumePending(settings)
    install.markResume(settings)
    settings.sync()
    again = core.QSettings(str(tmp_path / "s.ini"), core.QSettings.IniFormat)
    assert install.resumePending(again)
    install.clearResume(again)
    assert not install.resumePending(again)
