"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny
from filelock import FileLock

Once = Callable[[str, Callable[[Path], object]], Path]

# A thread for each process: the networks here are too small for more, and threads that wait for each other while
# other tests run take many times as long. Nothing has imported torch yet, and child processes inherit it. Set the
# variable to try another number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

WORKER = os.environ.get("PYTEST_XDIST_WORKER")

LONGEST = (
    "library/app/test_demo.py",  # minutes: the other workers do everything else meanwhile
    "library/flow/test_grid_texture.py",
    "library/report/test_fidelity.py",
    "library/test_benchmarks.py",
    "library/flow/test_flow_training.py",
    "library/low_dose/test_low_dose.py",
    "library/app/test_cli.py",
    "library/app/test_kills.py",
    "panel/test_panel_failures.py",
    "library/worker/test_worker.py",
    "library/flow/test_grid_flow.py",
    "library/training/test_training.py",
    "library/sampling/test_processors.py",
    "library/denoisers/test_view.py",
)
"""Modules that take long, which therefore begin first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A long module that began last would keep one worker busy while the others have nothing left to do."""
    rank = {Path(__file__).parent / module: place for place, module in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


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
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Folders that all workers read: the first to ask fills it, the others wait."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if WORKER else base

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        path, filled = shared / "once" / name, shared / "once" / f"{name}.filled"
        path.parent.mkdir(exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not filled.exists():
                path.mkdir(exist_ok=True)
                fill(path)
                filled.touch()
        return path

    return folder


@pytest.fixture(scope="session")
def tiny_source(once: Once) -> Path:
    """Pairs of small phantoms of three patients. Not to be changed."""
    from CTInvarianceLib.phantoms import phantom_source

    return phantom_source(once("phantoms", tiny.phantoms))


@pytest.fixture(scope="session")
def tiny_models(once: Once, tiny_source: Path) -> Path:
    """A model set of vectors that took seconds: real in every part, good in none. Not to be changed."""
    return _trained("vector", tiny_source, once)


@pytest.fixture(scope="session")
def tiny_spatial_models(once: Once, tiny_source: Path) -> Path:
    """The same with a spatial embedding and convolutional flows. Not to be changed."""
    return _trained("spatial", tiny_source, once)


@pytest.fixture(scope="session")
def tiny_complete_models(once: Once, tiny_source: Path) -> Path:
    """The same with the complete embedding and flows of images, as people train it. Not to be changed."""
    return _trained("complete", tiny_source, once)


def _trained(kind: str, source: Path, once: Once) -> Path:
    from CTInvarianceLib.training import train

    def fill(folder: Path) -> None:
        train(tiny.config(kind), source, folder / "tiny", on_event=lambda event: None)

    return once(f"{kind} models", fill) / "tiny"
