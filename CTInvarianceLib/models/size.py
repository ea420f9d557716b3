"""How many weights a network will have, from its settings: known before any of them takes memory."""

from __future__ import annotations

from ..base import ConfigError
from ..config import Config, EmbeddingConfig, FlowConfig

MOST_WEIGHTS = 1 << 27
"""Of one network: half a gigabyte, two with gradients and moments; the largest preset's have a sixth of that."""

_MOST_CHANNELS = (
    4096  # that are mixed: the first rotation of so many takes seconds, of twice as many a minute
)
_BLOCK = 64  # pixels of the blocks whose principal components a vector flow sees


def require_embedding_size(settings: EmbeddingConfig) -> None:
    """Raise ConfigError where an embedding would have more than `MOST_WEIGHTS`."""
    require_weights(embedding_weights(settings), "embedding", "width, latent_dim, channels, factor or blocks")


def require_flow_size(config: Config, channels: int, cells: int) -> None:
    """Raise ConfigError where a flow would; see `flow_weights`."""
    if config.embedding.kind != "vector" and _coarsest(config) > _MOST_CHANNELS:
        raise ConfigError(
            f"the coarsest of {config.flow.levels} levels has {_coarsest(config)} channels",
            where="flow, levels",
            hint=f"At most {_MOST_CHANNELS} are possible: take fewer levels, or smaller cells (factor, channels).",
        )
    require_weights(
        flow_weights(config, channels, cells), "flow", "hidden, blocks, levels, condition_dim or components"
    )


def require_weights(weights: int, where: str, which: str) -> None:
    """Raise ConfigError where a network would have more than `MOST_WEIGHTS`; `which` settings make it smaller."""
    if weights > MOST_WEIGHTS:
        raise ConfigError(
            f"the network would have {weights / 1e6:,.0f} million weights",
            where=where,
            hint=f"At most {MOST_WEIGHTS / 1e6:.0f} million are possible, half a gigabyte: take smaller {which}.",
        )


def embedding_weights(settings: EmbeddingConfig) -> int:
    """The weights of an embedding, within a fifth."""
    size, w, d = settings.patch_size, settings.width, settings.latent_dim
    pixels = settings.factor**2
    if settings.kind == "complete":
        return 2 * pixels**2
    if settings.kind == "spatial":
        c = settings.channels
        convolutions = 2 * pixels + 3 * c + 4 * settings.blocks * w + pixels * bool(settings.guide)
        return 2 * c * pixels + 9 * w * convolutions
    coarse = (size // 16) ** 2
    maps = 9 * w * (16 + 8 * w + 16 + w + 16 * bool(settings.guide)) + 9 * (2 * w * w + 4 * w * w)
    return 2 * d * size**2 + 3 * d * 2 * w * coarse + maps + 9 * w * w * 26 + 24 * w * w


def flow_weights(config: Config, channels: int, cells: int) -> int:
    """The weights of a layer's flow, within a fifth.

    Args:
        config: of the run.
        channels: of z.
        cells: of one channel of z, for a patch of the embedding.
    """
    flow = config.flow
    if config.embedding.kind == "vector":
        return _vector_weights(flow, config.embedding.latent_dim, channels, cells // _BLOCK)
    known = _condition_channels(config, channels)
    weights = 9 * known * flow.condition_width + 18 * flow.levels * flow.condition_width**2
    if config.embedding.kind == "spatial":
        block = max(1, config.embedding.factor**2 * cells // config.embedding.patch_size**2)
        weights += channels * block * known
        weights += config.embedding.channels * min(flow.regressed, known) * flow.neighbourhood**2
    for level in range(flow.levels):
        c = _coarsest(config) >> (flow.levels - 1 - level)
        coupling = 9 * c // 2 * flow.hidden + flow.hidden**2 + flow.hidden * c
        weights += flow.blocks * (2 * c**2 + coupling + flow.condition_width * (flow.hidden + 2 * c))
    return weights


def _vector_weights(flow: FlowConfig, d: int, channels: int, blocks: int) -> int:
    width, known = flow.condition_width, min(flow.components, channels * _BLOCK)
    network = 9 * known * width + 36 * width**2 + width * max(1, blocks // 16) * flow.condition_dim
    stem = channels * _BLOCK * known + min(flow.regressed, known) * blocks * d
    coupling = d // 2 * flow.hidden + flow.hidden**2 + flow.hidden * d + flow.condition_dim * flow.hidden
    return network + stem + flow.blocks * coupling


def _condition_channels(config: Config, channels: int) -> int:
    if config.embedding.kind == "complete":
        return 2 * config.embedding.factor**2 + 1
    return min(config.flow.components, channels * config.embedding.factor**2)


def _coarsest(config: Config) -> int:
    """Channels of the coarsest level."""
    c = config.embedding.factor**2 if config.embedding.kind == "complete" else config.embedding.channels
    return 4 * c * 2 ** (config.flow.levels - 1)
