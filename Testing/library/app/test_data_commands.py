"""`ctinvariance pairs` and `store`, as somebody at a terminal sees them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series

from CTInvarianceLib.app import main
from CTInvarianceLib.data import Store

HU = np.random.default_rng(0).integers(-1000, 2000, (4, 16, 16), dtype=np.int16)


def write(folder: Path, patient: str, dose: str, uid: str) -> list[Path]:
    return write_series(
        folder / patient / dose, HU, PatientID=patient, SeriesDescription=f"{dose} Dose Images", SeriesInstanceUID=uid,
        StudyInstanceUID=f"9.{uid[0]}", BodyPartExamined="CHEST", ConvolutionKernel="B30f", PixelSpacing=[0.7, 0.7],
    )  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(1, 4):
        write(tmp_path / "data", f"p{number}", "Low", f"{number}.1")
        write(tmp_path / "data", f"p{number}", "Full", f"{number}.2")
    return tmp_path / "data"


def test_a_clean_source_is_listed(source, capsys):
    assert main(["pairs", str(source)]) == 0
    out, error = capsys.readouterr()
    assert "3 patients, 3 full-dose series, 3 with low dose" in out
    for word in ("chest", "low, full", "B30f", "16×16", "0.7×0.7×3", "training", "validation"):
        assert word in out
    assert "warning" not in error


def test_faults_are_named_the_rest_is_listed_and_the_exit_code_tells(source, capsys):
    cut, empty = sorted((source / "p1" / "Low").iterdir())[1:3]
    cut.write_bytes(cut.read_bytes()[:-100])
    empty.write_bytes(b"")
    assert main(["pairs", str(source), "--json"]) == 2
    out, error = capsys.readouterr()
    found = json.loads(out)
    assert [row["patient"] for row in found["pairs"]] == ["p1", "p2", "p3"]
    assert [row["slices"] for row in found["pairs"]] == [2, 4, 4]
    for path, words in ((cut, "ends before its pixels"), (empty, "is empty")):
        assert any(str(path) in p["where"] and words in p["what"] for p in found["problems"])
        assert f"{path.name}" in error
    assert any("2 full-dose slices without partner" in p["what"] for p in found["problems"])
    assert found["files"] == 24
    assert main(["pairs", str(source), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["files_read"] == 0


def test_a_source_without_ct_is_an_error_after_all_that_is_wrong_with_it(tmp_path, capsys):
    (tmp_path / "a.dcm").write_bytes(b"")
    (tmp_path / "b.dcm").write_bytes(b"no")
    assert main(["pairs", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines if "100%" not in line] == ["warning", "warning", "error"]


def test_several_sources_are_one(source, capsys):
    assert main(["pairs", str(source / "p1"), str(source / "p3"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["pairs"]) == 2


def test_the_store_is_built_listed_and_emptied(source, tmp_path, capsys):
    folder = ["--store", str(tmp_path / "store")]
    assert main(["store", "list", *folder]) == 0
    assert "Nothing is stored" in capsys.readouterr().out
    assert main(["store", "build", str(source), *folder]) == 0
    assert "6 series to convert, < 1 MB, to" in capsys.readouterr().out
    assert len(Store(tmp_path / "store").entries()) == 6
    assert main(["store", "build", str(source), *folder]) == 0
    assert "0 series to convert" in capsys.readouterr().out
    assert main(["store", "list", *folder]) == 0
    listed = capsys.readouterr().out
    assert "6 series" in listed
    assert "Full Dose Images" in listed
    assert main(["store", "delete", "p2", *folder]) == 0
    assert "Deleted 2 series" in capsys.readouterr().out
    assert {entry.patient_id for entry in Store(tmp_path / "store").entries()} == {"p1", "p3"}
    assert main(["store", "delete", "--all", *folder]) == 0
    assert not Store(tmp_path / "store").entries()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build"], "say which data are to be stored"),
        (["delete"], "say what is to be deleted. Name patients, or give --all."),
        (["delete", "p1", "--all"], "say what is to be deleted"),
        (["delete", "nobody"], "nothing is stored of nobody"),
    ],
)
def test_what_is_not_said_is_asked_for(arguments, words, tmp_path, capsys):
    assert main(["store", *arguments, "--store", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
