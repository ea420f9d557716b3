"""One series that cannot be used does not stop a store or a training: it is named, and the rest goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from dicom_files import write_series

import CTInvarianceLib as cti
from CTInvarianceLib.app.cli import main
from CTInvarianceLib.base import DicomError, ModelsError, PairingWarning, Reporter, VolumeError
from CTInvarianceLib.config import DataConfig, read_manifest, recognised
from CTInvarianceLib.data import LeftOut, Store, load_patients, needed
from CTInvarianceLib.training.experiment import plan_work
from CTInvarianceLib.training.lock import FolderLock
from CTInvarianceLib.training.prepare import prepare

RNG = np.random.default_rng(0)
NAMES = ("P1", "P2", "P3", "P4")


def body(size: int = 64) -> np.ndarray:
    """One noisy slice with soft tissue."""
    hu = np.full((1, size, size), -1000.0)
    hu[:, size // 6 : -size // 6, size // 6 : -size // 6] = 40
    return (hu + RNG.normal(0, 12, hu.shape)).clip(-1024).astype(np.int16)


def write(folder: Path, patient: str, dose: str = "full", size: int = 64) -> list[Path]:
    tags = {
        "PatientID": patient,
        "SeriesDescription": f"{dose} dose",
        "PixelSpacing": [4, 4],
        "StudyInstanceUID": f"1.{patient[1:]}",
    }
    uid = f"1.{patient[1:]}.{len(dose)}"
    return write_series(folder / patient / dose, body(size), SeriesInstanceUID=uid, rle=True, **tags)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A pair of each of four patients."""
    for name in NAMES:
        for dose in ("low", "full"):
            write(tmp_path / "source", name, dose)
    return tmp_path / "source"


def damage(path: Path) -> None:
    """Compressed pixels that no header betrays: the end of a run is gone, its length says otherwise."""
    content = bytearray(path.read_bytes())
    start = content.rindex(b"\xfe\xff\x00\xe0") + 8 + 64  # behind the item's header and the RLE header
    content[start:-16] = b"\x80" * (len(content) - 16 - start)
    path.write_bytes(content)


def stored(folder: Path) -> set[str]:
    return {entry.patient_id for entry in Store(folder).entries()}


def test_what_cannot_be_decoded_is_warned_of_and_the_rest_is_loaded(source, tmp_path):
    pairs = cti.find_pairs(source)
    damage(source / "P2" / "low" / "000.dcm")
    with pytest.warns(
        PairingWarning, match=r"patient P2, 1\.2\.4, is left out: .*cannot be decoded.*P2/low/000\.dcm"
    ):
        loaded = load_patients(pairs, DataConfig(), seed=0, store=Store(tmp_path / "store"))
    assert [patient.patient_id for patient in loaded] == ["P1", "P3", "P4"]


def test_files_that_are_gone_since_the_scan_are_left_out(source, tmp_path):
    pairs, store = cti.find_pairs(source), Store(tmp_path / "store")
    (source / "P3" / "full" / "000.dcm").unlink()
    assert needed(pairs, DataConfig(), store, seed=0).series == 7
    useless: list[LeftOut] = []
    loaded = load_patients(pairs, DataConfig(), seed=0, store=store, left_out=useless)
    assert [patient.patient_id for patient in loaded] == ["P1", "P2", "P4"]
    assert [(each.pair.patient_id, type(each.why)) for each in useless] == [("P3", VolumeError)]
    assert "gone or out of reach" in str(useless[0])


def test_slices_that_are_too_small_are_left_out_before_they_are_converted(source, tmp_path):
    write(source, "P5", size=24)
    store = Store(tmp_path / "store")
    with pytest.warns(PairingWarning, match="patient P5.*24×24 pixels are smaller than a patch of 32×32"):
        loaded = load_patients(cti.find_pairs(source), DataConfig(), seed=0, store=store, least=32)
    assert [patient.patient_id for patient in loaded] == list(NAMES)
    assert stored(tmp_path / "store") == {*NAMES}


def test_nothing_left_is_the_first_ones_error(source, tmp_path):
    for path in source.rglob("full/*.dcm"):
        damage(path)
    with pytest.raises(DicomError, match=r"cannot be decoded.*P1/full"):
        load_patients(cti.find_pairs(source), DataConfig(), seed=0, store=Store(tmp_path / "store"))


def test_store_build_goes_on_and_says_so(source, tmp_path, capsys):
    damage(source / "P2" / "full" / "000.dcm")
    write(source, "P7", "low")  # without full dose: the scan names it
    assert main(["store", "build", str(source), "--store", str(tmp_path / "store")]) == 2
    said = capsys.readouterr().err
    assert "patient P7" in said
    assert "patient P2" in said
    assert stored(tmp_path / "store") >= {"P1", "P3", "P4"}
    assert main(["store", "build", str(source / "P1"), "--store", str(tmp_path / "store")]) == 0


def test_pairs_names_what_store_build_leaves_out(source, tmp_path, capsys):
    """As far as headers tell."""
    for name, tags in (
        ("P8", {"RescaleType": "MGML", "PixelSpacing": [4, 4]}),
        ("P9", {"RescaleType": "HU", "PixelSpacing": [4, 4]}),
    ):
        write_series(
            source / name,
            body(),
            PatientID=name,
            SeriesInstanceUID=f"2.{name[1:]}",
            StudyInstanceUID=name[1:],
            **tags,
        )
    assert main(["pairs", str(source), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert sorted({row["patient"] for row in found["pairs"]}) == [*NAMES, "P9"]
    (problem,) = found["problems"]
    assert "MGML" in problem["what"]


def test_pairs_names_what_no_low_dose_can_be_simulated_of(source, tmp_path, capsys):
    write_series(
        source / "P8",
        body(),
        PatientID="P8",
        PixelSpacing=[4, 3],
        SeriesInstanceUID="2.8",
        StudyInstanceUID="8",
    )
    assert main(["pairs", str(source), "--json"]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["where"] == "patient P8, series 2.8"
    assert "pixels are not square (3×4 mm)" in problem["what"]
    assert main(["store", "build", str(source), "--store", str(tmp_path / "store")]) == 2
    said = capsys.readouterr().err
    assert "patient P8, 2.8, is left out: The pixels are not square" in said
    for name in NAMES:  # with a low dose of its own nothing is to be simulated
        assert name in stored(tmp_path / "store")


# Training, up to the first step


def begin(source: Path, out: Path, store: Path) -> tuple[dict[str, list[str]], list[str]]:
    """The patients of a run's manifest, and what was logged."""
    events: list[dict[str, object]] = []
    config = tiny.config()
    report = Reporter(events.append, plan_work(config), job="test")
    with FolderLock(out) as lock:
        run = prepare(config, source, out, report, Store(store), lock)
    patients = recognised(read_manifest(out), NAMES)
    assert {patient.patient_id for patient in run.patches.patients} == set(patients["training"])
    return patients, [str(each["message"]) for each in events if each["event"] == "log"]


@pytest.mark.parametrize("which", NAMES)
def test_a_run_is_split_among_those_who_can_be_used(source, tmp_path, which):
    """Whoever it is: the one kept for validation too."""
    damage(source / which / "low" / "000.dcm")
    patients, log = begin(source, tmp_path / "run", tmp_path / "store")
    used = [name for names in patients.values() for name in names]
    assert sorted(used) == [name for name in NAMES if name != which]
    assert len(patients["validation"]) == 1
    assert any(f"patient {which}" in line and "cannot be decoded" in line for line in log)


def test_a_run_is_resumed_though_a_series_can_still_not_be_used(source, tmp_path):
    damage(source / "P2" / "low" / "000.dcm")
    first, _ = begin(source, tmp_path / "run", tmp_path / "store")
    again, log = begin(source, tmp_path / "run", tmp_path / "store")
    assert first == again
    assert any("patient P2" in line for line in log)
    write(source, "P2", "low")
    with pytest.raises(ModelsError, match="started with other patients"):
        begin(source, tmp_path / "run", tmp_path / "store")
