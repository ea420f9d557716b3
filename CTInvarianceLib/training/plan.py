"""What a run costs, so that it can be told before it is spent: time, stage by stage, memory and disk."""

from __future__ import annotations

import dataclasses
import math

import torch

from ..config import DOMAINS, Config, DenoiserConfig, EncoderConfig
from ..models import build_denoiser, flow_weights
from .ct_encoder import STAGE
from .flow import VALIDATED

# 10⁹ multiplications a second, measured on two CPU cores with the quick preset; other machines differ by a
# common factor for the most part, see `machine`.
_EMBEDDING_RATE, _DENOISER_RATE, _WGAN_RATE, _CONDITION_RATE, _FLOW_RATE = 60.0, 60.0, 34.0, 94.0, 33.0
# Seconds of a turn of the critic for a pixel, by its width and the square of it: measured at widths 8, 32 and 64.
_CRITIC_THIN, _CRITIC_WIDE = 8.1e-8, 1.8e-9
_SCORED = 0.2  # of a turn: the critic's part in the denoiser's own step
# Counted (benchmarks/scaling.py): passes of an embedding's critic in one turn of its own, with the gradient's gradient,
# and in one of what it judges.
_TURN, _JUDGED = 12, 3
_VGG19_WORK = 390e3  # multiplications for a pixel: 19.5e9 for 224×224
_DATA_S = 10.0  # until it is known what there is to read
_CONVERTED_S, _SIMULATED_S = 2e-8, 5e-7  # a byte of a series, and of one with its simulated low dose
_TOGETHER = 1 << 27  # weights: half a gigabyte, two with gradients and moments
_VALUE = 4  # bytes
_COPIES, _MAPS = 4, 32  # of what is kept, and feature maps of a batch, at the least
UNRELATED = 24  # patches of every domain, for the ceiling of R
_THIN = 5  # measured: with one channel, a convolution takes so many times as long for a multiplication
_MARGIN, _PASSES = 16, 24  # pixels around a patch that a layer reaches; of the network for one estimate


def flow_stages(config: Config, name: str) -> dict[str, tuple[str, ...]]:
    """The stages that train a denoiser's flows, and the layers whose flows, of both domains, each trains together.

    All of them at once, as long as their weights, with gradients and moments, leave memory for other things.
    """
    layers, side = config.denoisers[name].layers, config.embedding.patch_size
    both = len(DOMAINS) * flow_weights(config, config.flow.components, side**2)
    groups = max(1, min(len(layers), -(-len(layers) * both // _TOGETHER)))
    size = max(1, -(-len(layers) // groups))
    parts = [layers[first : first + size] for first in range(0, len(layers), size)]
    return {
        f"flows {name}" + (f" {number}" if len(parts) > 1 else ""): own for number, own in enumerate(parts, 1)
    }


def conditions_stage(stage: str) -> str:
    """The name of the stage before a stage of flows, in which what they see first is made."""
    return stage.replace("flows ", "conditions ", 1)


def plan_data(*, converted: int, simulated: int) -> float:
    """Seconds to read series, given the bytes that are converted alone and those with simulated low dose."""
    return 1 + _CONVERTED_S * converted + _SIMULATED_S * simulated


def plan_work(config: Config) -> dict[str, float]:
    """Stages in their order, and their seconds on two CPU cores."""
    flow = config.flow
    plan = {"data": _DATA_S}
    if config.needs_encoder:
        plan |= {STAGE: _encoder(config.encoder)}
    if guide := config.embedding.guide:  # the decoders wait for it
        plan[f"denoiser {guide}"] = _denoiser(config.denoisers[guide], config.encoder)
    plan |= {f"embedding {domain}": _embedding(config) for domain in DOMAINS}
    for name, denoiser in config.denoisers.items():
        plan[f"denoiser {name}"] = _denoiser(denoiser, config.encoder)
    one_flow = 3 * flow.steps * flow.batch_size * _flow_work(config) / _FLOW_RATE * 1e-9
    for name, denoiser in config.denoisers.items():
        for stage, layers in flow_stages(config, name).items():
            a_patch = _condition(config, denoiser, len(layers)) / _CONDITION_RATE * 1e-9
            begun = min(flow.patches, flow.at_once)
            plan[conditions_stage(stage)] = 3 + begun * a_patch
            later = flow.patches - begun + (VALIDATED if flow.validate_every else 0)
            plan[stage] = len(layers) * len(DOMAINS) * one_flow + later * a_patch
    return plan


def plan_memory(config: Config) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes by the setting they come from: what is kept at once, and the maps of one batch; both at the least."""
    e, flow, encoder = config.embedding, config.flow, config.encoder
    side = flow.patch_size if e.kind == "complete" else e.patch_size
    kept = {
        "flow, at_once": min(flow.patches, flow.at_once) * side**2,
        "embedding, principal_patches": e.principal_patches * e.patch_size**2,
    }
    batches = {
        "flow, batch_size": flow.batch_size * side**2,
        "embedding, batch_size": e.batch_size * e.patch_size**2 if e.kind != "complete" else 0,
        "encoder, batch_size": encoder.batch_size * encoder.patch_size**2 if config.needs_encoder else 0,
    }
    for name, d in config.denoisers.items():
        batches[f"{name}, batch_size"] = d.batch_size * (d.patch_size + 2 * d.margin) ** 2
    return (
        {name: pixels * _VALUE * _COPIES for name, pixels in kept.items()},
        {name: pixels * _VALUE * _MAPS for name, pixels in batches.items()},
    )


def plan_cost(config: Config, weights: int) -> dict[str, float]:
    """What a run needs in all, for the event with which it starts.

    Args:
        config: of the run.
        weights: of all that is saved.

    Returns:
        seconds_on_two_cores; memory_bytes, at the least, besides the slices; disk_bytes, besides converted slices.
    """
    kept, batches = plan_memory(config)
    patches = 2 * UNRELATED * config.embedding.patch_size**2
    return {
        "seconds_on_two_cores": round(sum(plan_work(config).values())),
        "memory_bytes": max(kept.values()) + max(batches.values()),
        "disk_bytes": _VALUE * (weights + patches),
    }


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
        seconds += e.patch_size**2 * 3 * _VGG19_WORK / _DENOISER_RATE
    if e.critic == "dense":
        pairs = min(4, int(math.log2(e.patch_size / 8)))
        critic = (1 - e.critic_from) * _critic(e.patch_size, e.critic_width, pairs)
        seconds += critic * (_TURN / e.critic_every + _JUDGED) / _WGAN_RATE
    return 2 + e.steps * e.batch_size * seconds * 1e-9


def _condition(config: Config, denoiser: DenoiserConfig, layers: int) -> float:
    """Multiplications of what the flows of some layers see of one patch."""
    flow = config.flow
    convolutions = [m for m in build_denoiser(denoiser).modules() if isinstance(m, torch.nn.Conv2d)]
    if config.embedding.kind != "complete":
        return config.embedding.patch_size**2 * sum(map(_weight, convolutions))
    # An estimate for every layer; layers lie evenly in the network, so fewer estimates pass the later convolutions.
    passed = sum(
        layers * (1 - number / len(convolutions)) * _weight(each) for number, each in enumerate(convolutions)
    )
    return (flow.patch_size + _MARGIN) ** 2 * passed * _PASSES


def _weight(convolution: torch.nn.Conv2d) -> int:
    """Multiplications for a pixel; those of a single channel, which fill no vectors, count for several."""
    thin = min(convolution.in_channels, convolution.out_channels) == 1
    return convolution.weight.numel() * (_THIN if thin else 1)


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


def _encoder(e: EncoderConfig) -> float:
    return 2 + e.steps * e.batch_size * e.patch_size**2 * 3 * _encoder_work(e) / _DENOISER_RATE * 1e-9


def _encoder_work(e: EncoderConfig) -> float:
    """Multiplications for a pixel, there and back."""
    return 9 * (1.8 * e.width**2 + e.width * (2 + e.channels / 4))


def _denoiser(d: DenoiserConfig, encoder: EncoderConfig) -> float:
    if d.weights or d.loss == "none":
        return 0.1
    pixels = d.steps * d.batch_size * d.patch_size**2
    seen = (1 + 2 * d.margin / d.patch_size) ** 2
    work = 3.0 * pixels * _parameters(d) * seen
    if d.loss == "l2":
        return work / _DENOISER_RATE * 1e-9
    if d.perceptual == "vgg19":
        work += 3 * pixels * _VGG19_WORK
    elif d.perceptual == "ct":
        work += 3 * pixels * _encoder_work(encoder) / 2
    turns = d.critic_steps + _SCORED
    critic = _CRITIC_THIN * d.critic_width + _CRITIC_WIDE * d.critic_width**2
    return work / _DENOISER_RATE * 1e-9 + pixels * turns * critic


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
