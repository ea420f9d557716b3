"""What a model set can do, as plain values."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..config import DOMAINS, denoiser_file, embedding_file, flow_file
from ..denoisers import layers, representations
from .builders import build_denoiser, build_embedding
from .model_set import Models

_SIDE = 64  # pixels of the image with which shapes are found out


def describe(models: Models) -> dict[str, Any]:
    """Patches, embedding, domains, and every layer of every denoiser; also of a set whose training is not finished."""
    config, folder = models.config, models.folder
    embedding = build_embedding(config)
    return {
        "name": folder.name,
        "folder": str(folder),
        "patch_size": embedding.patch_size,
        "fixed_size": embedding.fixed_size,
        "embedding": embedding.kind,
        "factor": None if embedding.fixed_size else embedding.factor,
        "domains": [domain for domain in DOMAINS if (folder / embedding_file(domain)).is_file()],
        "denoisers": {
            name: {
                "trained": (folder / denoiser_file(name)).is_file(),
                "layers": [
                    {**layer, "trained": _has_flows(models, name, layer["name"])}
                    for layer in _layers(build_denoiser(settings))
                ],
            }
            for name, settings in config.denoisers.items()
        },
    }


@torch.inference_mode()
def _layers(denoiser: nn.Module) -> list[dict[str, Any]]:
    """Name, channels and stride of every layer, in order of execution."""
    names = layers(denoiser)
    found = representations(denoiser, torch.zeros(1, 1, _SIDE, _SIDE), names)
    return [
        {"name": name, "channels": found[name].shape[1], "stride": _SIDE // found[name].shape[-1]}
        for name in names
    ]


def _has_flows(models: Models, denoiser: str, layer: str) -> bool:
    files = [models.folder / flow_file(denoiser, layer, domain) for domain in DOMAINS]
    return all(file.is_file() for file in files)
