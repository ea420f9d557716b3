"""Nothing is downloaded because a file says so: a person at the command line or the panel allows it, or nobody."""

from __future__ import annotations

import dataclasses
import json
import socket
import urllib.request

import pytest
import tiny
import torch

import CTInvarianceLib as cti
from CTInvarianceLib.app import main
from CTInvarianceLib.base import WeightsError
from CTInvarianceLib.config import write_manifest
from CTInvarianceLib.worker.requests import job_from

YANG = {"architecture": "yang", "loss": "wgan-vgg", "perceptual": "vgg19", "patch_size": 32}


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Addresses that somebody wanted to open; none is."""
    found = []

    def refuse(url, *_, **__):
        found.append(url)
        raise OSError("no network in this test")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: refuse(address))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return found


@pytest.fixture
def config():
    return dataclasses.replace(tiny.config(denoisers={"y": YANG}), vgg19="download")


def test_a_set_from_elsewhere_downloads_nothing(asked, config, tiny_source, tmp_path, capsys):
    out = tmp_path / "set"
    out.mkdir()
    write_manifest(out, config, created="", patients={"training": [], "validation": []})
    before = tiny.tree(tmp_path)
    command = ["train", "--data", str(tiny_source), "--out", str(out), "--resume"]
    assert main(command) == 2
    assert asked == []
    assert "nobody has allowed" in capsys.readouterr().err
    after = tiny.tree(tmp_path)
    after.pop("set/.lock", None)
    assert after == before


def test_nor_does_a_configuration_from_elsewhere(asked, config, tiny_source, tmp_path, capsys):
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(config.to_dict()))
    assert (
        main(["train", "--config", str(path), "--data", str(tiny_source), "--out", str(tmp_path / "o")]) == 2
    )
    with pytest.raises(WeightsError, match="nobody has allowed"):
        cti.train(config, tiny_source, tmp_path / "o", on_event=lambda event: None)
    assert asked == []
    assert "--allow-download" in capsys.readouterr().err


def test_who_allows_it_is_heard(asked, config, tiny_source, tmp_path, capsys):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(config.to_dict()))
    command = ["train", "--config", str(path), "--data", str(tiny_source), "--out", str(tmp_path / "o")]
    assert main([*command, "--allow-download"]) == 2
    assert "cannot be downloaded" in capsys.readouterr().err
    assert len(asked) == 1


def test_the_worker_asks_its_panel_too():
    request = {"command": "train", "data": "d", "out": "o", "preset": "slides"}
    assert job_from(request).allow_download is False
    assert job_from({**request, "allow_download": True}).allow_download is True
