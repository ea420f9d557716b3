"""How long a run takes, stage by stage, so that the time left can be told before it is spent."""

from __future__ import annotations

import dataclasses
import math

from ..config import DOMAINS, Config, DenoiserConfig
from ..models import build_denoiser

# 10⁹ multiplications a second, measured on two CPU cores with the quick preset; other machines differ by a
# common factor for the most part, see `machine`.
_EMBEDDING_RATE, _DENOISER_RATE, _WGAN_RATE, _CONDITION_RATE, _FLOW_RATE = 60.0, 60.0, 34.0, 40.0, 10.0
# Counted (benchmarks/scaling.py): passes of a critic in one turn of its own, with the gradient's gradient, and in one
# of what it judges; multiplications of VGG19 for a pixel of two images, one of them differentiated.
_TURN, _JUDGED, _VGG = 12, 3, 1_160_000
_DATA_S = 10.0  # until it is known what there is to read
_CONVERTED_S, _SIMULATED_S = 2e-8, 5e-7  # a byte of a series, and of one with its simulated low dose
_MARGIN, _PASSES = 16, 24  # pixels around a patch that a layer reaches; of the network for one estimate


def flow_stage(name: str, layer: str, domain: str) -> str:
    """The name of the stage that trains a layer's flow."""
    return f"flow {name} layer {layer} {domain}"


def plan_data(*, converted: int, simulated: int) -> float:
    """Seconds to read series, given the bytes that are converted alone and those with simulated low dose."""
    return 1 + _CONVERTED_S * converted + _SIMULATED_S * simulated


def plan_work(config: Config) -> dict[str, float]:
    """Stages in their order, and their seconds on two CPU cores."""
    flow = config.flow
    plan = {"data": _DATA_S, **{f"embedding {domain}": _embedding(config) for domain in DOMAINS}}
    for name, denoiser in config.denoisers.items():
        plan[f"denoiser {name}"] = _denoiser(denoiser)
    one_flow = 3 * flow.steps * flow.batch_size * _flow_work(config)
    for name, denoiser in config.denoisers.items():
        plan[f"conditions {name}"] = 3 + _conditions(config, denoiser) / _CONDITION_RATE * 1e-9
        for layer in denoiser.layers:
            plan |= {flow_stage(name, layer, domain): one_flow / _FLOW_RATE * 1e-9 for domain in DOMAINS}
    return plan


def _embedding(config: Config) -> float:
    e = config.embedding
    if e.kind == "complete":
        return 2
    per_pixel = 55 * e.width**2  # forward and backward, most of it at a quarter of the resolution
    if e.kind == "spatial":
        per_cell = 9 * e.width * (4 * e.blocks * e.width + 3 * e.factor**2 + 3 * e.channels)
        per_pixel = 3 * per_cell // e.factor**2
    seconds = e.patch_size**2 * per_pixel / _EMBEDDING_RATE
    if e.perceptual == "vgg19":
        seconds += e.patch_size**2 * _VGG / _WGAN_RATE
    if e.critic == "dense":
        pairs = min(4, int(math.log2(e.patch_size / 8)))
        critic = (1 - e.critic_from) * _critic(e.patch_size, e.critic_width, pairs)
        seconds += critic * (_TURN / e.critic_every + _JUDGED) / _WGAN_RATE
    return 2 + e.steps * e.batch_size * seconds * 1e-9


def _conditions(config: Config, denoiser: DenoiserConfig) -> int:
    """Multiplications of what the flows of a denoiser see of z."""
    flow = config.flow
    if config.embedding.kind != "complete":
        return flow.patches * config.embedding.patch_size**2 * _parameters(denoiser)
    window = flow.patch_size + _MARGIN
    # An estimate for every layer; layers lie evenly in the network, so on average half of it is passed through.
    return flow.patches * window**2 * _parameters(denoiser) * _PASSES * (len(denoiser.layers) + 1) // 2


def _flow_work(config: Config) -> int:
    """Multiplications of one pass of one latent."""
    flow, e = config.flow, config.embedding
    if e.kind == "complete":
        e = dataclasses.replace(e, channels=e.factor**2, patch_size=flow.patch_size)
    if e.kind == "vector":
        return 2 * flow.blocks * flow.hidden * (flow.hidden + e.latent_dim)
    work, cells = 0, (e.patch_size // e.factor) ** 2
    for level in range(1, flow.levels + 1):
        channels, cells = 2 * 2**level * e.channels, cells // 4
        work += cells * flow.blocks * flow.hidden * (9 * channels // 2 + flow.hidden + channels)
    return work


def _denoiser(d: DenoiserConfig) -> float:
    if d.weights or d.loss == "none":
        return 0.1
    work = d.patch_size**2 * 3 * _parameters(d)
    if d.loss == "l2":
        return d.steps * d.batch_size * work / _DENOISER_RATE * 1e-9
    work += (_TURN * d.critic_steps + _JUDGED) * _critic(d.patch_size, d.critic_width, 3)
    if d.perceptual == "vgg19":
        work += d.patch_size**2 * _VGG
    return d.steps * d.batch_size * work / _WGAN_RATE * 1e-9


def _critic(size: int, width: int, pairs: int) -> int:
    """Multiplications of a dense critic's convolutions for one patch."""
    work, c_in = 0, 1
    for pair in range(pairs):
        c_out = width * min(2**pair, 4)
        size -= 2
        work += 9 * size**2 * c_in * c_out
        size = (size - 3) // 2 + 1
        work += 9 * size**2 * c_out**2
        c_in = c_out
    return work


def _parameters(denoiser: DenoiserConfig) -> int:
    """Every parameter of a convolution is multiplied with once per pixel."""
    return sum(p.numel() for p in build_denoiser(denoiser).parameters())
