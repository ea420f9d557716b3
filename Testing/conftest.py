"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Index and store of the tests, not of whoever runs them; child processes inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CTINVARIANCE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real CT that lies beside a development checkout; tests skip without it."""
    folder = Path(os.environ.get("CTINVARIANCE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "volumes").is_dir():
        pytest.skip(f"no real CT at {folder} (set CTINVARIANCE_DATA to where it lies)")
    return folder


@pytest.fixture(scope="session")
def ct_small() -> Path:
    """The real CT slice that ships inside pydicom, 128x128."""
    from pydicom.data import get_testdata_file

    return Path(str(get_testdata_file("CT_small.dcm")))


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of small phantoms of three patients."""
    return tiny.phantoms(tmp_path_factory.mktemp("phantoms"))


@pytest.fixture(scope="session")
def tiny_models(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model set of vectors that took seconds: real in every part, good in none. Not to be changed."""
    return _trained("vector", tiny_source, tmp_path_factory)


@pytest.fixture(scope="session")
def tiny_spatial_models(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a spatial embedding and convolutional flows. Not to be changed."""
    return _trained("spatial", tiny_source, tmp_path_factory)


def _trained(kind: str, source: Path, factory: pytest.TempPathFactory) -> Path:
    from CTInvarianceLib.training import train

    out = factory.mktemp("models") / "tiny"
    train(tiny.config(kind), source, out, on_event=lambda event: None)
    return out
