"""Text that comes from files, at the doors where it is shown: terminal, HTML page, picture. Shown, never obeyed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series

import CTInvarianceLib
from CTInvarianceLib.app import main
from CTInvarianceLib.app.console import Console, complain, say, show_table
from CTInvarianceLib.base import printable
from CTInvarianceLib.report import draw_montage, write_report

HU = np.random.default_rng(0).integers(-1000, 2000, (3, 16, 16), dtype=np.int16)
HOSTILE = {
    "[/b]": "[/b]",  # closes what nothing has opened
    "[b30f]": "[b30f]",  # vanishes as a style
    "[link=file:///etc/passwd]x[/link]": "[link=file:///etc/passwd]x[/link]",
    ":skull:": ":skull:",
    "\\[red]": "\\[red]",
    "\x1b[2J\x1b]0;title\x07": r"\x1b[2J\x1b]0;title\x07",
    "\x9b2J": r"\x9b2J",  # an escape sequence in one character
    "a\rb\bc\x7f": r"a\rb\x08c\x7f",
    "a\nerror: b": r"a\nerror: b",
    "a\u2028b": r"a\u2028b",
    "\u202egnp.exe": r"\u202egnp.exe",
    "\udcff": r"\udcff",  # a byte of a file's name that is no text
    "Müller–Łukasz 王 ±½": "Müller–Łukasz 王 ±½",
}
hostile = pytest.mark.parametrize(("text", "shown"), HOSTILE.items(), ids=range(len(HOSTILE)))
posix = pytest.mark.skipif(os.name != "posix", reason="names of files as POSIX has them")


@hostile
def test_a_table_shows_what_it_is_given(text, shown, capsys):
    show_table(f"of {text}", [{"patient": text, "slices": 3}])
    out = capsys.readouterr().out
    title, *body = out.splitlines()
    assert title.rstrip() == f"of {shown}"
    assert sum(shown in line for line in body) == 1
    assert len(body) == 5, "no line more"


@hostile
def test_a_line_shows_what_it_is_given(text, shown, capsys):
    say(f"of {text}")
    complain(f"warning: {text}")
    assert capsys.readouterr() == (f"of {shown}\n", f"warning: {shown}\n")


@hostile
def test_stages_are_named_after_denoisers_which_a_file_names(text, shown, capsys, monkeypatch):
    event = {"event": "progress", "stage": f"denoiser {text}", "fraction": 0.5, "eta_s": 2.0}
    with Console() as console:
        console(event)
    assert f"denoiser {shown}" in capsys.readouterr().err
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal, where rich draws
    with Console() as console:
        console(event)
    assert "\x1b]0;" not in capsys.readouterr().err


def test_what_is_shown_is_one_line_that_stays_as_it_is():
    for text, shown in HOSTILE.items():
        assert printable(text) == shown
        assert printable(shown) == shown
        assert len(printable(text).splitlines()) == 1


def test_a_patients_id_neither_crashes_pairs_nor_vanishes(tmp_path, capsys):
    ids = ["[/b]", "[b30f]", ":skull:"]
    for number, name in enumerate(ids):
        for dose in ("Low", "Full"):
            write_series(
                tmp_path / f"{number}" / dose, HU, PatientID=name, SeriesDescription=f"{dose} Dose [/i]",
                SeriesInstanceUID=f"1.{number}.{len(dose)}", StudyInstanceUID=f"9.{number}", ConvolutionKernel="[red]",
                BodyPartExamined="CHEST",
            )  # fmt: skip
    assert main(["pairs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for words in (*ids, "[/i]", "[red]"):
        assert words in out
    store = ["--store", str(tmp_path / "[/b]")]
    assert main(["store", "build", str(tmp_path), *store]) == 0
    assert main(["store", "list", *store]) == 0
    listed = capsys.readouterr().out
    for words in ids:
        assert words in listed


@posix
def test_names_of_files_reach_the_terminal_as_text(tmp_path):
    """In a process of its own, whose output knows ASCII only."""
    folder = os.fsencode(tmp_path) + b"/\x1b[2J\xff\nerror: 1"
    Path(os.fsdecode(folder)).mkdir()
    Path(os.fsdecode(folder + b"/m\xc3\xbcde.dcm")).write_bytes(b"no")
    run = subprocess.run(
        [sys.executable, "-m", "CTInvarianceLib", "pairs", folder],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert run.returncode == 2
    assert b"\x1b" not in run.stdout + run.stderr
    assert rb"\x1b[2J" in run.stderr
    assert rb"m\xfcde.dcm" in run.stderr
    assert b"Traceback" not in run.stderr


def test_warnings_and_errors_go_through_the_same_door(capsys):
    assert main(["pairs", "/nowhere/\x1b[2J"]) == 2
    warnings.showwarning("\x1b[2J", UserWarning, "", 0)
    assert main_exits(["pairs", ".", "--\x1b[2J"]) == 2
    error = capsys.readouterr().err
    assert error.count(r"\x1b[2J") == 3
    assert "\x1b" not in error


def main_exits(arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


def test_there_is_no_other_door():
    """The commands print nothing themselves."""
    for path in (Path(CTInvarianceLib.__file__).parent / "app").glob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        assert path.name == "console.py" or "print" not in names, path.name


def test_the_page_shows_what_it_is_given(tmp_path):
    rows = [{"denoiser": text, "<b>": "<script>alert(1)</script>"} for text in HOSTILE]
    write_report({"denoising": rows}, tmp_path, models="\udcff<b>", data="&")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    for shown in HOSTILE.values():
        assert shown in page


@pytest.mark.parametrize("text", [r"$\foo$", "$x", r"a_b^{c", "\udcff\x1b[2J"])
def test_a_picture_shows_what_it_is_given(tiny_models, tmp_path, text):
    """Matplotlib takes what stands between dollars for mathematics, and fails where it is none."""
    patch = np.random.default_rng(0).normal(40, 20, (32, 32)).astype(np.float32)
    samples = CTInvarianceLib.Models.load(tiny_models).sample(patch, "chen", "5", 2)
    draw_montage([(text, samples)], tmp_path / "a.png", title=text)
    assert (tmp_path / "a.png").stat().st_size > 10_000
