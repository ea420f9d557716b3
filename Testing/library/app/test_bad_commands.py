"""Hundreds of command lines with one argument that is none: a line says so, and nothing is written."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

import CTInvarianceLib as cti
from CTInvarianceLib.app import cli, main
from CTInvarianceLib.base import in_words
from CTInvarianceLib.phantoms import write_phantoms

pytestmark = pytest.mark.filterwarnings("ignore::CTInvarianceLib.base.HounsfieldWarning")

NUMBERS = (
    "-1", "nan", "inf", "-inf", "1e400", "99999999999999999999", "-99999999999999999999", "x", "", "0x10", "--",
    "9" * 5000,
)  # fmt: skip
NAMES = ("", "chen ", "../chen", "CHEN", "\0", "x" * 5000, "5/../5", "\udcff", "[/b]")
PATHS = (
    "",
    " ",
    "\t",
    "\0",
    "a" * 5000,
    "none/\udcff",
    "none/x.nrrd",
    "file/x.nrrd",
    "file",
    "text.nii.gz",
    "http://x",
)
OUTS = ("", " ", "\0", "a" * 5000, "file/x.nrrd", "file", "folder", ".", "a.png", "text.nii.gz")
NUMERIC = {
    "--dose",
    "--seed",
    "--slice",
    "--slices",
    "--size",
    "--tile",
    "-n",
    "--tolerance",
    "--patients",
    "--pixel-mm",
}
NAMED = {"--denoiser", "--layer", "--domain", "--kind", "--preset"}
FINE = {("--out", "a.png"), ("--out", "."), ("--out", "folder")}  # of commands that write folders


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The current folder, with what a mistake could hit."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "text.nii.gz").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine")
    return tmp_path


def lines(source: Path, models: Path) -> dict[str, list[str]]:
    """Commands that are right; `none` and its like are what makes them fail early where an argument happens to fit."""
    low, full = (str(tiny.series(source, dose)) for dose in ("low", "full"))
    set_ = ["--models", str(models), "--denoiser", "chen"]
    return {
        "simulate": [low, "--dose", "0.5", "--seed", "1", "--out", "out.nrrd"],
        "denoise": [low, *set_, "--out", "out.nrrd"],
        "sample": [
            low, "--full-dose", full, *set_, "--layer", "5", "--domain", "low", "--slice", "0", "--slices", "1",
            "--size", "32", "--tile", "16", "-n", "2", "--seed", "1", "--tolerance", "0.5", "--out", "out",
        ],
        "phantom": [
            "--patients", "1", "--slices", "1", "--size", "64", "--pixel-mm", "6", "--dose", "0.5", "--kind", "head",
            "--seed", "1", "--out", "out",
        ],
        "models": ["show", str(models)],
        "pairs": [str(source), "--seed", "1"],
        "evaluate": ["--models", "none", "--data", str(source), "--out", "out"],
        "train": ["--config", "none", "--data", str(source), "--out", "out"],
        "store": ["build", "none", "--dose", "0.5", "--seed", "1", "--store", "out"],
    }  # fmt: skip


def mistakes(source: Path, models: Path) -> list[list[str]]:
    made = []
    for command, arguments in lines(source, models).items():
        for place, _ in enumerate(arguments):
            if arguments[place].startswith("-"):
                continue
            option = arguments[place - 1] if place and arguments[place - 1].startswith("-") else ""
            action = command in {"models", "store"} and not place
            kind = NUMBERS if option in NUMERIC else NAMES if option in NAMED or action else PATHS
            kind = OUTS if option == "--out" else kind
            for value in kind:
                if (
                    command == "phantom"
                    and option == "--out"
                    and value in {"a.png", ".", "a.nrrd/", "folder"}
                ):
                    continue  # may be folders
                made.append([command, *arguments[:place], value, *arguments[place + 1 :]])
    return made


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def said(arguments: list[str]) -> tuple[object, str]:
    """Exit code and standard error."""
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()):
        try:
            code: object = main(arguments)
        except SystemExit as end:
            code = end.code
    return code, err.getvalue()


def test_a_mistake_is_one_line_and_writes_nothing(here, tiny_source, tiny_models):
    before, wrong, tried = tree(here), [], mistakes(tiny_source, tiny_models)
    for arguments in tried:
        code, err = said(arguments)
        *_, error = err.splitlines()
        changed = tree(here) != before
        if code != 2 or changed or not error.startswith("error: ") or "Traceback" in err or "fault of" in err:
            wrong.append((arguments, code, changed, err[-500:]))
    assert not wrong
    assert len(tried) >= 300


@pytest.mark.parametrize("text", ["", " ", "\t"])
def test_an_empty_argument_is_not_the_current_folder(tmp_path, monkeypatch, tiny_models, text):
    """What a shell makes of a variable that is not set."""
    shutil.copytree(tiny_models, tmp_path / "set")
    monkeypatch.chdir(tmp_path / "set")
    before = tree(tmp_path)
    for arguments in (
        ["models", "delete", text], ["models", "show", text], ["models", "list", text], ["pairs", text],
        ["store", "list", "--store", text], ["store", "delete", "--all", "--store", text], ["store", "build", text],
        ["demo", "--fresh", "--out", text], ["worker", "--scratch", text],
    ):  # fmt: skip
        code, err = said(arguments)
        assert code == 2
        assert "it is empty; the current folder is called ." in err
        assert tree(tmp_path) == before
    config = tiny.config()
    calls = (
        lambda: cti.read_volume(text),
        lambda: cti.Models.load(text),
        lambda: cti.train(config, tmp_path, text),
        lambda: write_phantoms(text, patients=1),
    )
    for call in calls:
        with pytest.raises(
            cti.CTInvarianceError, match=r"the path is empty\. The current folder is called \."
        ):
            call()
        assert tree(tmp_path) == before
    with pytest.raises(cti.CTInvarianceError, match="the path is empty"):
        cti.find_pairs([str(tmp_path), text])


def test_one_bad_set_hides_no_other(tmp_path, tiny_models, capsys):
    shutil.copytree(tiny_models, tmp_path / "good")
    manifest = json.loads((tiny_models / "models.json").read_text())
    bad = {
        "cut": "{", "list": "[]", "old": json.dumps({**manifest, "version": 1}),
        "bare": json.dumps({name: manifest[name] for name in ("format", "version")}),
        "other": json.dumps({**manifest, "config": 3}), "people": json.dumps({**manifest, "patients": None}),
    }  # fmt: skip
    for name, text in bad.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "models.json").write_text(text)
    assert main(["models", "list", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "good" in shown.out
    for name in bad:
        assert f"warning: {name} cannot be used: " in shown.err
        assert name not in shown.out.split("good")[1]


def test_faults_are_one_line_too_and_say_how_to_see_more(monkeypatch, capsys, tmp_path):
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("of\nours")

    monkeypatch.setattr("CTInvarianceLib.app.data_commands.scan", broken)
    assert main(["pairs", str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ZeroDivisionError: of ours. This looks like a fault")
    assert cli.TRACEBACK in error
    monkeypatch.setenv(cli.TRACEBACK, "1")
    with pytest.raises(ZeroDivisionError):
        main(["pairs", str(tmp_path)])


@pytest.mark.parametrize(
    ("error", "what", "hint"),
    [
        (PermissionError(13, "Permission denied", "/x"), "Permission denied: /x", "may be used"),
        (OSError(28, "No space left on device", "/x"), "the disk is full: /x", "Free space"),
        (OSError(27, "File too large", "/x"), "allows no file as large: /x", "another folder"),
        (MemoryError(), "memory is full", "fewer"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory is full", "fewer"),
        (RuntimeError("`CUDAAccelerator` can not run on your system since the accelerator is not available."),
         "has not the accelerator", '"auto"'),
    ],
)  # fmt: skip
def test_errors_of_other_packages_in_words(error, what, hint):
    found = in_words(error)
    assert what in found[0]
    assert hint in found[1]


@pytest.mark.skipif(sys.platform == "win32", reason="Linux and macOS name files in bytes")
def test_names_that_are_no_text_are_written_and_told(tmp_path):
    name = tmp_path / "p\udcff.nrrd"
    cti.write_volume(cti.CTVolume(np.zeros((1, 8, 8), np.int16), np.eye(4)), tmp_path / "a.nrrd")
    command = [sys.executable, "-m", "CTInvarianceLib", "phantom", "--patients", "1", "--slices", "1", "--size", "64",
               "--pixel-mm", "6", "--out", str(name)]  # fmt: skip
    result = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONUTF8": "1"})
    assert result.returncode == 0, result.stderr
    assert b"p\\udcff" in result.stdout
