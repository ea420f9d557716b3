"""VGG19's weights: the published file or an error, never random ones. The file here is made by the test."""

from __future__ import annotations

import hashlib
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest
import torch

from CTInvarianceLib.base import WeightsError
from CTInvarianceLib.training.perceptual import VGG19Features, load_vgg19


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file with the names of torchvision's: features and a classifier."""
    torch.manual_seed(0)
    network = VGG19Features()
    path = tmp_path_factory.mktemp("vgg") / "vgg19-test.pth"
    torch.save({**network.state_dict(), "classifier.0.weight": torch.zeros(2, 2)}, path)
    return network, path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_layers_are_torchvisions():
    names = set(VGG19Features().state_dict())
    convolutions = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
    assert names == {f"features.{i}.{p}" for i in convolutions for p in ("weight", "bias")}
    assert VGG19Features()(torch.zeros(1, 1, 64, 64)).shape == (1, 512, 4, 4)


def test_features_end_before_the_activation(published):
    assert (published[0](torch.randn(1, 1, 32, 32)) < 0).any()


def test_weights_are_loaded_from_a_path(published):
    network, path, digest = published
    loaded = load_vgg19(str(path), sha256=digest[:8])
    x = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded(x), network(x))
    assert not any(p.requires_grad for p in loaded.parameters())


def test_weights_are_downloaded_once_and_checked(published, tmp_path, monkeypatch):
    _, path, digest = published
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    handler = partial(SimpleHTTPRequestHandler, directory=str(path.parent))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{path.name}"
        with pytest.raises(WeightsError, match="not the published file"):
            load_vgg19("download", allow_download=True, sha256="00000000", url=url)
        assert list(tmp_path.rglob("*.pth")) == [], "a wrong file leaves nothing behind"
        with pytest.raises(WeightsError, match="nobody has allowed"):
            load_vgg19("download", sha256=digest[:8], url=url)
        assert list(tmp_path.rglob("*.pth")) == []
        load_vgg19("download", allow_download=True, sha256=digest[:8], url=url)
        server.shutdown()
    load_vgg19("download", sha256=digest[:8], url=url)  # from the cache: the server is gone
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        load_vgg19("download", allow_download=True, sha256=digest[:8], url=url.replace("vgg19-test", "other"))


def test_what_is_not_the_published_file_is_refused(published, tmp_path):
    _, path, _ = published
    with pytest.raises(WeightsError, match='choose `perceptual = "ct"`'):
        load_vgg19("")
    with pytest.raises(WeightsError, match="no such file"):
        load_vgg19(str(tmp_path / "none.pth"))
    with pytest.raises(WeightsError, match="not dcbb9e9d…: this is not the published file"):
        load_vgg19(str(path))
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(1)}, other)
    with pytest.raises(WeightsError, match="does not hold VGG19's weights"):
        load_vgg19(str(other), sha256=hashlib.sha256(other.read_bytes()).hexdigest()[:8])
