"""What can be known of a model set without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import tiny

from CTInvarianceLib.base import ConfigError, ModelsError
from CTInvarianceLib.config import manifest


@pytest.fixture
def folder(tmp_path):
    """Two model sets that are nothing but their manifests, one of another version, and a folder of other things."""
    patients = {"training": ["P1", "P2"], "validation": []}
    for name in ("a", "b", "old"):
        (tmp_path / name).mkdir()
        manifest.write_manifest(tmp_path / name, tiny.config(), created="2026-01-01", patients=patients)
    (tmp_path / "other").mkdir()
    old = tmp_path / "old" / manifest.MANIFEST
    old.write_text(old.read_text().replace('"version": 2', '"version": 1'))
    return tmp_path


def test_a_folder_lists_its_model_sets(folder):
    (folder / "b" / "flows").mkdir()
    (folder / "b" / manifest.flow_file("chen", "1", "low")).write_bytes(bytes(2_000_000))
    rows = manifest.list_models(folder)
    assert [(row["name"], row["MB"]) for row in rows] == [("a", 0.0), ("b", 2.0)]
    assert rows[0] | {"MB": 0} == {
        "name": "a", "preset": "tiny", "denoisers": "chen, yang, identity", "patients": 2, "created": "2026-01-01",
        "MB": 0,
    }  # fmt: skip
    assert manifest.list_models(folder / "other") == manifest.list_models(folder / "nowhere") == []


def test_architecture_and_trained_layers_stand_in_it(folder):
    content = manifest.read_manifest(folder / "a")
    config = manifest.configuration(content, folder / "a")
    assert {n: (d.architecture, d.layers) for n, d in config.denoisers.items()} == {
        "chen": ("chen", ("1", "5")), "yang": ("yang", ("8",)), "identity": ("identity", ("1",))
    }  # fmt: skip
    content["config"]["colour"] = "blue"
    with pytest.raises(ConfigError, match="no setting named colour"):
        manifest.configuration(content, folder / "a")


def test_other_versions_and_damaged_ones_are_errors(folder):
    with pytest.raises(ModelsError, match="version 1, this program reads"):
        manifest.read_manifest(folder / "old")
    for text in ("{", "[]", "null", json.dumps({"format": "ctinvariance-models"})):
        (folder / "a" / manifest.MANIFEST).write_text(text)
        with pytest.raises(ModelsError, match="damaged"):
            manifest.read_manifest(folder / "a")


def test_reading_one_needs_no_torch(folder):
    code = (
        "import sys; from pathlib import Path; from CTInvarianceLib import config as m;"
        "m.configuration(m.read_manifest(Path(sys.argv[1])), Path()); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(folder / "a")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_deleting_leaves_what_is_not_ours(folder):
    (folder / "a" / "thesis.txt").write_text("mine")
    for name in ("a", "b"):
        manifest.delete_models(folder / name)
    assert [p.name for p in (folder / "a").iterdir()] == ["thesis.txt"]
    assert not (folder / "b").exists()
    shutil.rmtree(folder / "a")
