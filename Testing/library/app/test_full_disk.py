"""A full disk, and a limit on the size of files, wherever a command writes: an error, and the old result stays."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

import CTInvarianceLib as cti
from CTInvarianceLib.app import main
from CTInvarianceLib.data import Store
from CTInvarianceLib.models import load_tensors
from CTInvarianceLib.report import write_report
from CTInvarianceLib.worker.context import ModelSets, Work
from CTInvarianceLib.worker.failures import failure
from CTInvarianceLib.worker.requests import job_from

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="neither tmpfs nor limits on files"),
    pytest.mark.filterwarnings("ignore::CTInvarianceLib.base.HounsfieldWarning"),
]

Room = Callable[[int], AbstractContextManager[None]]
_SAID = 1000  # bytes: what the command says is kept in a file too
FORMATS = (".nrrd", ".nii", ".nii.gz", ".mha")


@pytest.fixture(scope="module")
def tmpfs(tmp_path_factory) -> Iterator[Path | None]:
    """A file system of 1 MB; None where one may not mount one."""
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    yield folder if mounted else None
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(params=["disk of 1 MB", "limit"])
def place(request, tmp_path, tmpfs) -> Iterator[tuple[Path, Room]]:
    """A folder, and a context with room for so many bytes in it."""
    if request.param == "disk of 1 MB" and tmpfs is None:
        pytest.skip("only root may mount a small file system")
    folder = (tmp_path if request.param == "limit" else tmpfs / tmp_path.name) / "place"
    folder.mkdir(parents=True)
    yield folder, _limit if request.param == "limit" else lambda free: _filled(tmpfs / "ballast", free)
    shutil.rmtree(folder)


@contextmanager
def _limit(size: int) -> Iterator[None]:
    """Files of this process cannot grow larger."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(size, _SAID), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _filled(ballast: Path, free: int) -> Iterator[None]:
    """All of a file system but so many bytes, to a page, is taken."""
    status = os.statvfs(ballast.parent)
    ballast.write_bytes(bytes(max(status.f_bavail * status.f_frsize - free, 0)))
    try:
        yield
    finally:
        ballast.unlink()


def tree(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones too, with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "ballast"
    }


FULL = ("disk is full", "No space left", "no file as large", "too large", "are free")


def fails(capfd, *arguments: object, where: Path | None = None) -> None:
    """The command says in one line that there is no room, and where; nobody else says anything."""
    assert main([str(each) for each in arguments]) == 2
    *progress, error = capfd.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert any(words in error for words in FULL), error
    assert str(where or arguments[arguments.index("--out") + 1]) in error
    assert re.search(r"(Free|Choose) [^.]*\.$|\(`ctinvariance store`\)\.$", error), error
    assert all("%" in line or line.startswith("about ") for line in progress), progress  # what it will take


@pytest.fixture(scope="module")
def scan(tmp_path_factory) -> Path:
    """Noise, which no format packs well: 0.5 MB in float32."""
    hu = np.random.default_rng(0).normal(40, 300, (2, 256, 256)).astype(np.int16)
    path = tmp_path_factory.mktemp("scan") / "scan.nrrd"
    cti.write_volume(cti.CTVolume(hu, np.diag([1.5, 1.5, 3, 1])), path)
    return path


@pytest.mark.parametrize("free", [0, 8192, 100_000])
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("command", ["simulate", "denoise"])
def test_volumes(capfd, tiny_models, scan, place, command, suffix, free):
    folder, room = place
    out = folder / f"out{suffix}"
    out.write_bytes(b"old")
    more = ("--models", tiny_models, "--denoiser", "chen") if command == "denoise" else ("--dose", 1)
    with room(free):
        fails(capfd, command, scan, *more, "--out", out, "--overwrite")
    assert tree(folder) == {out.name: b"old"}


@pytest.mark.parametrize("free", [0, 30_000, 80_000])
def test_samples(capfd, tiny_models, tiny_source, place, free):
    folder, room = place
    (folder / "out").mkdir()
    (folder / "out" / "table.json").write_bytes(b"old")
    partner = ("--full-dose", tiny.series(tiny_source, "full"))
    models = ("--models", tiny_models, "--denoiser", "chen", "--layer", 5, "-n", 20)
    with room(free):
        fails(
            capfd,
            "sample",
            tiny.series(tiny_source),
            *partner,
            *models,
            "--out",
            folder / "out",
            "--overwrite",
        )
    assert tree(folder) == {"out/table.json": b"old"}


@pytest.mark.parametrize("free", [0, 5000, 7000])
def test_phantoms(capfd, place, free):
    folder, room = place
    options = ("--patients", 2, "--slices", 2, "--size", 64, "--pixel-mm", 6)
    with room(free):
        fails(capfd, "phantom", *options, "--out", folder / "out")
    assert not list(folder.rglob("*.dcm"))
    for path in folder.rglob("*.nrrd"):  # the truth of the first one may be there
        assert cti.read_volume(path).shape == (2, 64, 64)
    assert not [path for path in folder.rglob(".*")]


def test_a_report_is_two_files_or_none(tmp_path):
    """Whether the first or only the second no longer fits."""
    tables = {"denoising": [{"denoiser": "&" * 100, "rmse_hu": 1.0}] * 100}  # of five characters in HTML
    write_report(tables, tmp_path / "new")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "new").iterdir()}
    assert _SAID < sizes["report.json"] < sizes["report.html"]
    old = dict.fromkeys(sizes, b"old")
    folder = tmp_path / "old"
    folder.mkdir()
    for name, content in old.items():
        (folder / name).write_bytes(content)
    for limit in (0, sizes["report.json"]):
        with _limit(limit), pytest.raises(OSError, match=str(folder)):
            write_report(tables, folder)
        assert tree(folder) == old
        with _limit(limit), pytest.raises(OSError, match=str(tmp_path / "never")):
            write_report(tables, tmp_path / "never")
        assert sorted(each.name for each in tmp_path.iterdir()) == ["new", "old"]
    write_report(tables, folder)
    assert tree(folder) == tree(tmp_path / "new")


@pytest.fixture(scope="module")
def bare_models(tiny_source, tmp_path_factory) -> Path:
    """No layers, so that it is evaluated at once."""
    out = tmp_path_factory.mktemp("models") / "bare"
    chen = {"architecture": "chen", "layers": [], "patch_size": 17, "steps": 2, "batch_size": 4}
    cti.train(tiny.config(denoisers={"chen": chen}), tiny_source, out, on_event=lambda event: None)
    return out


@pytest.fixture(scope="module")
def configuration(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("configuration") / "tiny.json"
    path.write_text(json.dumps(tiny.config().to_dict()))
    return path


@pytest.mark.parametrize("free", [0, 1500])
def test_evaluations(capfd, bare_models, tiny_source, place, free):
    folder, room = place
    (folder / "out").mkdir()
    (folder / "out" / "report.html").write_bytes(b"old")
    with room(free):
        fails(
            capfd, "evaluate", "--models", bare_models, "--data", tiny_source,
            "--out", folder / "out", "--overwrite",
        )  # fmt: skip
    assert tree(folder) == {"out/report.html": b"old"}


@pytest.mark.parametrize("free", [0, 230_000, 900_000])
def test_trainings(capfd, configuration, tiny_models, tiny_source, place, tmp_path, free):
    """What was saved is whole, stays, and is gone on with."""
    folder, room = place
    options = ("train", "--config", configuration, "--data", tiny_source)
    free = free if folder.parent != tmp_path else min(free, 240_000)  # no part has more than 250 kB
    for _ in range(2):  # the second goes on, and comes as far
        with room(free):
            fails(capfd, *options, "--out", folder / "run", "--resume")
        saved = {name: content for name, content in tree(folder).items() if name.endswith("safetensors")}
        assert {name for name in tree(folder) if "/." in name} == {"run/.lock"}
    assert bool(saved) == (free > 100_000)
    shutil.copytree(folder / "run", tmp_path / "room" / "run")
    assert main([str(each) for each in (*options, "--out", tmp_path / "room" / "run", "--resume")]) == 0
    found = tree(tmp_path / "room")
    assert {name: found[name] for name in saved} == saved
    for path in tiny_models.rglob("*.safetensors"):
        ours = load_tensors(tmp_path / "room" / "run" / path.relative_to(tiny_models))[0]
        assert all(torch.equal(ours[key], value) for key, value in load_tensors(path)[0].items()), path
    for line in found["run/log.jsonl"].splitlines():
        json.loads(line)


def test_a_log_that_may_not_grow_is_named(capfd, configuration, tiny_models, tiny_source, tmp_path):
    shutil.copytree(tiny_models, tmp_path / "run")
    (tmp_path / "run" / "flows" / "yang-8-full.safetensors").unlink()
    (tmp_path / "run" / "log.jsonl").write_text('{"event": "log"}\n' * 20_000)
    with _limit(300_000):  # no part has as much
        fails(
            capfd, "train", "--config", configuration, "--data", tiny_source, "--out", tmp_path / "run",
            "--resume", where=tmp_path / "run" / "log.jsonl",
        )  # fmt: skip


@pytest.mark.parametrize("free", [0, 5000, 30_000])
@pytest.mark.parametrize("command", ["store", "train", "evaluate"])
def test_a_store_in_a_full_cache(
    capfd, configuration, bare_models, tiny_source, place, tmp_path, monkeypatch, command, free
):
    """Entries that were there stay, halves of others do not."""
    folder, room = place
    monkeypatch.setenv("CTINVARIANCE_CACHE", str(folder / "cache"))
    store, pairs = Store(folder / "cache" / "store"), cti.find_pairs(tiny_source)
    store.series(pairs[0].full_dose)
    before = tree(store.folder)
    arguments = {
        "store": ("build", tiny_source),
        "train": ("--config", configuration, "--data", tiny_source, "--out", tmp_path / "run"),
        "evaluate": ("--models", bare_models, "--data", tiny_source, "--out", tmp_path / "report"),
    }[command]
    with room(free if folder.parent != tmp_path else min(free, 5000)):  # an entry has 8 kB
        fails(capfd, command, *arguments, where=store.folder)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "report").exists()
    entries = {each.folder.name for each in store.entries()}
    assert {each.name for each in store.folder.iterdir()} == {*entries, ".locks"}
    assert tree(store.folder).items() >= before.items()
    assert main([str(each) for each in (command, *arguments)]) == 0


@pytest.mark.parametrize("free", [0, 5000])
def test_pairs_are_listed_whatever_the_cache_has_room_for(capsys, tiny_source, place, monkeypatch, free):
    """One line says that it is slower the next time; what lies in the cache is used, or made anew."""
    folder, room = place
    monkeypatch.setenv("CTINVARIANCE_CACHE", str(folder / "cache"))
    pairs = ["pairs", str(tiny_source), "--json"]
    assert main(pairs) == 0
    expected = json.loads(capsys.readouterr().out)["pairs"]
    index = folder / "cache" / "headers.sqlite"
    index.unlink()
    with room(free):
        assert main(pairs) == 2
    out, error = capsys.readouterr()
    assert json.loads(out)["pairs"] == expected
    (warning,) = [line for line in error.splitlines() if "%" not in line]
    assert warning.startswith(f"warning: {index}: the index of known files cannot be kept")
    assert "CTINVARIANCE_CACHE" in warning, "what to do"
    for read in (True, False):
        assert main(pairs) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["pairs"] == expected
        assert read or said["files_read"] == 0


@pytest.mark.parametrize("kind", ["denoise", "simulate", "sample"])
@pytest.mark.parametrize("free", [0, 8192, 100_000])
def test_scratch_of_the_worker(tiny_models, tiny_source, place, tmp_path, kind, free):
    """The job is an error that says so; arrays appear whole or not at all."""
    folder, room = place
    volume, out = cti.read_volume(tiny.series(tiny_source)), folder / "00001.npy"
    np.save(tmp_path / "in.npy", np.repeat(volume.hu, 16, 0).astype(np.float32))
    request = {
        "denoise": {"models": str(tiny_models), "denoiser": "chen"},
        "simulate": {"affine": volume.affine.tolist(), "dose": 1.0},
        "sample": {"models": str(tiny_models), "denoiser": "chen", "layer": "5", "n": 20, "region": [0, 0, 32, 32]},
    }[kind]  # fmt: skip
    job = job_from({"command": kind, "volume": str(tmp_path / "in.npy"), "out": str(out), **request})
    out.mkdir() if kind == "sample" else out.write_bytes(b"old")
    with room(free), pytest.raises(OSError, match=str(folder)) as raised:
        job.run(Work(ModelSets("cpu"), lambda event: None, lambda: False))
    said = failure(raised.value)
    assert any(words in said["message"] for words in FULL)
    assert "Free space" in said["hint"]
    for name, content in tree(folder).items():
        if kind == "sample":
            assert np.load(folder / name).shape[-3:] == (16, 32, 32)
        else:
            assert (name, content) == (out.name, b"old")


def test_a_full_temporary_folder_harms_nobody(
    capfd, configuration, bare_models, tiny_models, tiny_source, scan, tmpfs, tmp_path, monkeypatch
):
    """What is unfinished lies beside its place, and nowhere else; nor is the cache asked by who needs none."""
    if tmpfs is None:
        pytest.skip("only root may mount a small file system")
    monkeypatch.setenv("TMPDIR", str(tmpfs))
    monkeypatch.setattr(tempfile, "tempdir", str(tmpfs))
    chen = ("--models", tiny_models, "--denoiser", "chen")
    commands = [
        ("pairs", tiny_source),
        ("store", "build", tiny_source),
        *(("simulate", scan, "--dose", 1, "--out", tmp_path / f"low{suffix}") for suffix in FORMATS),
        *(("denoise", scan, *chen, "--out", tmp_path / f"out{suffix}") for suffix in FORMATS),
        ("sample", tiny.series(tiny_source), *chen, "--layer", 5, "-n", 2, "--out", tmp_path / "samples"),
        ("phantom", "--patients", 1, "--slices", 1, "--size", 64, "--pixel-mm", 6, "--out", tmp_path / "phantoms"),
        ("evaluate", "--models", bare_models, "--data", tiny_source, "--out", tmp_path / "report"),
        ("train", "--config", configuration, "--data", tiny_source, "--out", tmp_path / "run"),
    ]  # fmt: skip
    with _filled(tmpfs / "ballast", 0):
        for command in commands:
            cached = command[0] in ("pairs", "store", "evaluate", "train")
            monkeypatch.setenv("CTINVARIANCE_CACHE", str((tmp_path if cached else tmpfs) / "cache"))
            assert main([str(each) for each in command]) == 0, command
        assert [each.name for each in tmpfs.iterdir() if each.is_file()] == ["ballast"]
        assert not (tmpfs / "cache").exists()


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_size_of_the_disk_gives_the_whole_volume_or_an_error(tmp_path, suffix):
    """Whatever part of the file no longer fits: its end, its header that is written last."""
    volume = cti.CTVolume(np.random.default_rng(0).integers(-1000, 1000, (9, 9, 11), np.int16), np.eye(4))
    path = tmp_path / f"a{suffix}"
    cti.write_volume(volume, path)
    whole = path.read_bytes()
    for size in range(_SAID, len(whole) + 2, 7):
        path.write_bytes(b"old")
        with _limit(size):
            if size >= len(whole):
                cti.write_volume(volume, path)
            else:
                with pytest.raises(cti.CTInvarianceError, match=path.name):
                    cti.write_volume(volume, path)
        assert path.read_bytes() == (whole if size >= len(whole) else b"old")
        assert list(tmp_path.iterdir()) == [path]
