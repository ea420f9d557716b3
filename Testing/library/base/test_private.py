"""What is kept of patients without having been asked for: nobody but the user may look into it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series

from CTInvarianceLib.base import make_private, private_folder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")

HU = np.random.default_rng(0).integers(-1000, 2000, (3, 16, 16), dtype=np.int16)


def rights(folder: Path) -> dict[str, int]:
    paths = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder.parent)): stat.S_IMODE(path.stat().st_mode) for path in paths}


def ctinvariance(*arguments: object, umask: int = 0o022, **environment: str) -> None:
    """The program in a process of its own, with a umask that lets all users read."""
    subprocess.run(
        [sys.executable, "-m", "CTInvarianceLib", *map(str, arguments)],
        env={**os.environ, **environment}, umask=umask, check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture
def source(tmp_path) -> Path:
    for dose in ("Low", "Full"):
        write_series(
            tmp_path / "source" / dose, HU, PatientID="p", SeriesDescription=f"{dose} Dose", StudyInstanceUID="9",
            SeriesInstanceUID=f"1.{len(dose)}", ConvolutionKernel="B30f", BodyPartExamined="CHEST",
        )  # fmt: skip
    return tmp_path / "source"


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_cache_and_store_are_for_one_user(source, tmp_path, umask):
    cache = tmp_path / "new" / "cache"
    ctinvariance("store", "build", source, umask=umask, CTINVARIANCE_CACHE=str(cache))
    found = rights(cache.parent)
    assert len(found) > 8
    assert {"new/cache/headers.sqlite", "new/cache/store/.locks"} <= set(found)
    assert not [path for path, mode in found.items() if mode & 0o077]


def test_a_store_that_is_named_too(source, tmp_path):
    """Its folder, where it is there already, keeps the rights that its owner gave it."""
    (tmp_path / "store").mkdir(mode=0o755)
    ctinvariance("store", "build", source, "--store", tmp_path / "store")
    found = rights(tmp_path / "store")
    assert found.pop("store") == 0o755
    assert len(found) > 6
    assert not [path for path, mode in found.items() if mode & 0o077]


def test_the_users_own_cache_of_an_earlier_version_is_closed(source, tmp_path):
    home = {
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "home" / "cache"),
        "CTINVARIANCE_CACHE": "",
    }
    cache = tmp_path / "home" / "cache" / "ctinvariance"
    cache.mkdir(parents=True)
    (cache / "headers.sqlite").write_bytes(b"")
    for path, mode in ((cache, 0o755), (cache / "headers.sqlite", 0o644)):
        path.chmod(mode)
    if sys.platform == "darwin":
        pytest.skip("the cache lies elsewhere")
    ctinvariance("pairs", source, **home)
    found = rights(cache)
    assert set(found.values()) == {0o700, 0o600}


def test_what_the_user_asked_for_keeps_the_umask(tmp_path):
    ctinvariance("phantom", "--patients", 1, "--slices", 1, "--size", 64, "--out", tmp_path / "out")
    assert {mode & 0o077 for mode in rights(tmp_path / "out").values()} == {0o055, 0o044}


def test_folders_above_are_made_private_and_those_that_are_there_stay(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o755)
    private_folder(tmp_path / "a" / "b" / "c")
    assert list(rights(tmp_path / "a").values()) == [0o755, 0o700, 0o700]
    private_folder(tmp_path / "a")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        private_folder(tmp_path / "file" / "d")


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "public").write_text("")
    (tmp_path / "public").chmod(0o644)
    (tmp_path / "link").symlink_to(tmp_path / "public")
    make_private(tmp_path / "link")
    make_private(tmp_path / "nowhere")
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644
