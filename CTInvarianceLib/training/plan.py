"""How long a run takes, stage by stage, so that the time left can be told before it is spent."""

from __future__ import annotations

from ..builders import build_denoiser
from ..config import DOMAINS, Config, DenoiserConfig

# 10⁹ multiplications a second, measured on two CPU cores with the quick preset; other machines differ by a
# common factor for the most part, which the time left follows.
_EMBEDDING_RATE, _DENOISER_RATE, _WGAN_RATE, _CONDITION_RATE, _FLOW_RATE = 60.0, 60.0, 34.0, 40.0, 10.0
_DATA_S = 10.0


def flow_stage(name: str, layer: str, domain: str) -> str:
    """The name of the stage that trains a layer's flow."""
    return f"flow {name} layer {layer} {domain}"


def plan_work(config: Config) -> dict[str, float]:
    """Stages in their order, and their seconds on two CPU cores."""
    flow, pixels = config.flow, config.embedding.patch_size**2
    plan = {"data": _DATA_S, **{f"embedding {domain}": _embedding(config) for domain in DOMAINS}}
    for name, denoiser in config.denoisers.items():
        plan[f"denoiser {name}"] = _denoiser(denoiser)
    one_flow = flow.steps * flow.batch_size * flow.blocks * flow.hidden * 6
    one_flow *= flow.hidden + config.embedding.latent_dim
    for name, denoiser in config.denoisers.items():
        plan[f"conditions {name}"] = (
            3 + flow.patches * pixels * _parameters(denoiser) / _CONDITION_RATE * 1e-9
        )
        for layer in denoiser.layers:
            plan |= {flow_stage(name, layer, domain): one_flow / _FLOW_RATE * 1e-9 for domain in DOMAINS}
    return plan


def _embedding(config: Config) -> float:
    e = config.embedding
    per_pixel = 55 * e.width**2  # forward and backward, most of it at a quarter of the resolution
    return 2 + e.steps * e.batch_size * e.patch_size**2 * per_pixel / _EMBEDDING_RATE * 1e-9


def _denoiser(d: DenoiserConfig) -> float:
    if d.weights or d.loss == "none":
        return 0.1
    work = d.steps * d.batch_size * d.patch_size**2 * 3 * _parameters(d)
    if d.loss == "l2":
        return work / _DENOISER_RATE * 1e-9
    critic = 9 * d.critic_steps * (d.critic_width / 64) ** 2
    return work * (1 + critic) / _WGAN_RATE * 1e-9


def _parameters(denoiser: DenoiserConfig) -> int:
    """Every parameter of a convolution is multiplied with once per pixel."""
    return sum(p.numel() for p in build_denoiser(denoiser).parameters())
