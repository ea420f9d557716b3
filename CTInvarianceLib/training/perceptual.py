"""Features that the perceptual loss of WGAN-VGG compares: those of VGG19, torchvision's published file, or of CT."""

from __future__ import annotations

import hashlib
import tempfile
import urllib.request
from pathlib import Path

import torch
from torch import Tensor, nn

from ..base import WeightsError
from ..embedding import Embedding
from .ct_encoder import CTAutoencoder

VGG19_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
VGG19_SHA256 = "dcbb9e9d"  # the first digits, as torchvision writes them into the file's name
_PLAN = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", *(512,) * 4, "pool", *(512,) * 4)
_HINT = (
    'Give the path of torchvision\'s vgg19-dcbb9e9d.pth as `vgg19`, say `vgg19 = "download"` and `--allow-download`, '
    'or choose `perceptual = "ct"`.'
)


class VGG19Features(nn.Module):
    """VGG19 up to conv5_4 before its ReLU: torchvision's features.34 (Simonyan & Zisserman, arXiv:1409.1556).

    Single-channel normalised images are repeated to three channels, as in ldct-benchmark.
    """

    def __init__(self) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        c_in = 3
        for item in _PLAN:
            if isinstance(item, int):
                modules += [nn.Conv2d(c_in, item, 3, padding=1), nn.ReLU()]
                c_in = item
            else:
                modules.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*modules[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) normalised -> (N, 512, H/16, W/16)."""
        maps: Tensor = self.features(x.expand(-1, 3, -1, -1))
        return maps


class EncoderFeatures(nn.Module):
    """φ from CT itself: what a trained encoder makes of it."""

    def __init__(self, encoder: Embedding | CTAutoencoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) normalised -> (N, c, h, w)."""
        return self.encoder.features(x)


def load_vgg19(
    source: str, *, allow_download: bool = False, sha256: str = VGG19_SHA256, url: str = VGG19_URL
) -> VGG19Features:
    """VGG19 with published weights; never random ones.

    Args:
        source: path of the published file, or "download".
        allow_download: whether it may be fetched; else "download" finds it only where it was fetched before.
        sha256: the first digits of the file's checksum.
        url: where "download" finds it; the file is kept in torch's hub cache.

    Raises:
        WeightsError: the file is not there, cannot be fetched, is not the published one, or does not fit.
    """
    if not source:
        raise WeightsError("the perceptual loss needs VGG19's published weights", hint=_HINT)
    path = _kept(url, sha256, allow_download=allow_download) if source == "download" else Path(source)
    if not path.is_file():
        raise WeightsError("there is no such file of VGG19 weights", where=path, hint=_HINT)
    _check(path, sha256)
    try:
        # The published file is a pickle; weights_only lets nothing but tensors out of it.
        state = torch.load(path, map_location="cpu", weights_only=True)
        network = VGG19Features()
        wanted = network.state_dict()
        network.load_state_dict({name: state[name] for name in wanted})
    except (KeyError, RuntimeError, TypeError, ValueError, EOFError, ImportError) as error:
        raise WeightsError(
            f"the file does not hold VGG19's weights ({error})", where=path, hint=_HINT
        ) from error
    return network.eval().requires_grad_(False)


def _check(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(sha256):
        raise WeightsError(
            f"the checksum is {digest[:16]}…, not {sha256}…: this is not the published file",
            where=path,
            hint=_HINT,
        )


def _kept(url: str, sha256: str, *, allow_download: bool) -> Path:
    """The file in torch's hub cache, fetched there if need be; a broken download leaves nothing behind."""
    path = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[-1])
    if path.is_file():
        return path
    if not allow_download:
        raise WeightsError(
            "the configuration asks for a download of VGG19's weights (548 MB), which nobody has allowed",
            where=url,
            hint="Allow it with `ctinvariance train … --allow-download`, or give the path of the file as `vgg19`.",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder, "part")
            with urllib.request.urlopen(url, timeout=60) as answer, part.open("wb") as file:
                while block := answer.read(1 << 20):
                    file.write(block)
            _check(part, sha256)
            part.replace(path)
    except OSError as error:
        raise WeightsError(
            f"VGG19's weights cannot be downloaded ({error})", where=url, hint=_HINT
        ) from error
    return path
