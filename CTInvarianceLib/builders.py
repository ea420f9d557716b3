"""Untrained networks as a configuration describes them: the one place that training and loading share."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from .config import Config, DenoiserConfig
from .denoisers import DENOISERS, representation, start_as_identity
from .embedding import VectorEmbedding
from .errors import ConfigError
from .flow import BLOCK, BlockPCA, ConditionalFlow, ConditionNetwork, LatentRegression, LayerFlow

Network = TypeVar("Network", bound=nn.Module)


def build_denoiser(config: DenoiserConfig, *, seed: int = 0) -> nn.Module:
    """The denoiser of the named architecture; raises ConfigError where there is none or its arguments do not fit."""
    if config.architecture not in DENOISERS:
        raise ConfigError(
            "no denoiser of this name",
            where=config.architecture,
            hint=f"Choose one of {', '.join(DENOISERS)}.",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module: nn.Module = DENOISERS[config.architecture](**config.arguments)
        except TypeError as error:
            raise ConfigError(f"the arguments do not fit ({error})", where=config.architecture) from error
    if config.start == "identity":
        start_as_identity(module)
    return for_convolutions(module)


def build_embedding(config: Config) -> VectorEmbedding:
    """The embedding of one domain."""
    settings = config.embedding
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return for_convolutions(VectorEmbedding(settings.patch_size, settings.latent_dim, settings.width))


def build_flow(config: Config, denoiser: nn.Module, layer: str) -> LayerFlow:
    """The flow of one layer: stem and regression for the shape of its z, condition network, conditional flow."""
    settings, size = config.flow, config.embedding.patch_size
    reference = next(denoiser.parameters(), torch.empty(0))
    with torch.no_grad():
        z = representation(denoiser, reference.new_zeros(1, 1, size, size), layer)
    stem = BlockPCA(z.shape[1], settings.components)
    grid = (z.shape[2] // BLOCK, z.shape[3] // BLOCK)
    regression = LatentRegression(min(settings.regressed, stem.components), grid, config.embedding.latent_dim)
    network = ConditionNetwork(
        stem.components, grid, settings.condition_dim, settings.condition_width, seed=config.seed
    )
    flow = ConditionalFlow(
        config.embedding.latent_dim,
        settings.condition_dim,
        settings.blocks,
        settings.hidden,
        condition_network=network,
        seed=config.seed,
    )
    return for_convolutions(LayerFlow(stem, regression, flow))


def for_convolutions(module: Network) -> Network:
    """The same module with its kernels stored channels last: up to 1.8 times as fast on CPUs."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module
