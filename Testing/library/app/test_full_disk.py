"""A full disk, and a limit on the size of files, wherever a command writes: an error, and the old result stays."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import tiny

import CTInvarianceLib as cti
from CTInvarianceLib.app import main
from CTInvarianceLib.report import write_report

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
def place(request, tmp_path, tmpfs) -> tuple[Path, Room]:
    """A folder, and a context with room for so many bytes in it."""
    if request.param == "limit":
        return tmp_path, _limit
    if tmpfs is None:
        pytest.skip("only root may mount a small file system")
    folder = tmpfs / tmp_path.name
    folder.mkdir()
    return folder, lambda free: _filled(tmpfs / "ballast", free)


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


def fails(capfd, *arguments: object) -> None:
    """The command says in one line that there is no room; nobody else says anything."""
    assert main([str(each) for each in arguments]) == 2
    *progress, error = capfd.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert any(words in error for words in ("disk is full", "No space left", "no file as large", "too large"))
    assert str(arguments[arguments.index("--out") + 1]) in error
    assert all("%" in line for line in progress), progress


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
