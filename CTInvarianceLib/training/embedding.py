"""Training of an embedding: one flat loop, E and D against the critic C."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..config import EmbeddingConfig
from ..embedding import Embedding, kl_divergence
from ..models import build_embedding
from ..tensors import principal_components
from .accumulation import Halving, LossOf
from .critic import Critic, PatchCritic
from .losses import critic_loss, feature_distance
from .perceptual import load_vgg19
from .run import Run, set_learning_rate
from .watch import LOOK_EVERY, Watch

_CLIP = 1.0
_LINEAR_SHARE = 0.03  # the linear parts start at their optimum and need only small steps


def train_embedding(run: Run, domain: str, guide: nn.Module | None = None) -> Embedding:
    """E and D of one domain: L1 + KL (+ WGAN-GP) (+ VGG19 features), see docs/method.md.

    Args:
        run: the run; its configuration's `embedding` says how.
        domain: "low" or "full".
        guide: the denoiser whose output the decoder sees, where the configuration names one.

    Returns:
        The embedding in eval mode, on the run's device.
    """
    config, fabric, stage = run.config.embedding, run.fabric, f"embedding {domain}"
    embedding = build_embedding(run.config)
    if embedding.closed_form:
        _start_linear(run, embedding, domain)
        return embedding.to(run.fabric.device).eval().requires_grad_(False)
    critic = build_critic(config, seed=run.config.seed)
    optimizer = torch.optim.Adam(_groups(embedding), config.learning_rate, betas=(0.5, 0.999))
    critic_optimizer = torch.optim.Adam(
        critic.parameters(), config.learning_rate * config.critic_rate, betas=(0.5, 0.999)
    )
    trained = {"embedding": (embedding, optimizer), "critic": (critic, critic_optimizer)}
    model, optimizer = fabric.setup(embedding, optimizer)
    critic, critic_optimizer = fabric.setup(critic, critic_optimizer)
    watch = Watch(stage, config.steps, trained, run.report, fabric=fabric)
    checkpoint, first = run.resume(stage, trained, watch)
    if first == 0:
        _start_linear(run, embedding, domain)
    vgg = fabric.to_device(load_vgg19(run.config.vgg19)) if config.perceptual == "vgg19" else None
    critic_start = round(config.critic_from * config.steps)
    pixels = config.patch_size**2

    halving = Halving(run, stage)

    def loss_of_critic(real: Tensor, fake: Tensor, weight: Tensor) -> dict[str, Tensor]:
        return {"critic": critic_loss(critic, real, fake, weight)}

    def learn(x: Tensor, noise: Tensor, weight: Tensor, seen: Tensor | None, step: int) -> dict[str, Tensor]:
        adversarial = step >= critic_start

        def loss_of(x: Tensor, noise: Tensor, seen: Tensor | None, *outputs: Tensor) -> dict[str, Tensor]:
            decoded, mean, log_variance = outputs if outputs[0].requires_grad else model(x, noise, seen)
            l1 = (decoded - x).abs().sum() / len(x)
            kl = kl_divergence(mean, log_variance).mean()
            loss = config.reconstruction_weight * l1 + config.kl_weight * kl
            if vgg is not None:
                loss = loss + config.perceptual_weight * pixels * feature_distance(vgg, decoded, x, "l1")
            if adversarial:
                loss = loss - config.adversarial_weight * critic(decoded).mean()
            return {"descended": loss / pixels, "loss": loss, "l1": l1 / pixels, "kl": kl}

        outputs = halving.outputs(model, x, noise, seen)
        if adversarial and step % config.critic_every == 0:
            _update(critic, critic_optimizer, halving, loss_of_critic, x, outputs[0].detach(), weight)
        return _update(model, optimizer, halving, loss_of, x, noise, seen, *outputs)

    batches = run.batches(stage, first, config.steps, config.batch_size, config.patch_size)
    for step, low, full, draws in batches:
        if watch.over(step):
            break
        x = low if domain == "low" else full
        set_learning_rate(optimizer, config.learning_rate * watch.rate(step))
        noise = draws.normal(len(x), *embedding.latent_shape).to(x)
        weight = draws.uniform(len(x), 1, 1, 1).to(x)
        found = halving.step(learn, x, noise, weight, _denoised(guide, low), step)
        watch.seen(step, found["loss"])
        if step % LOOK_EVERY == 0:
            run.report.metric(stage, step, **{name: found[name].item() for name in ("loss", "l1", "kl")})
        run.end_step(stage, step, watch.steps, checkpoint)
    watch.finish()
    return embedding.eval().requires_grad_(False)


def _update(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    halving: Halving,
    loss_of: LossOf,
    *batch: Tensor | None,
) -> dict[str, Tensor]:
    optimizer.zero_grad()
    found = halving.gradients(loss_of, *batch)
    nn.utils.clip_grad_norm_(module.parameters(), _CLIP)
    optimizer.step()
    return found


def build_critic(config: EmbeddingConfig, *, seed: int) -> nn.Module:
    """The critic C that the configuration asks for."""
    if config.critic == "patch":
        return PatchCritic(config.critic_width, seed=seed)
    pairs = min(4, int(math.log2(config.patch_size / 8)))  # down to maps of about 4×4
    return Critic(config.patch_size, config.critic_width, pairs, hidden=256, seed=seed)


@torch.no_grad()
def _denoised(guide: nn.Module | None, low: Tensor) -> Tensor | None:
    return None if guide is None else torch.as_tensor(guide(low))


def _start_linear(run: Run, embedding: Embedding, domain: str) -> None:
    """Set the embedding to the linear optimum over freshly drawn training patches."""
    config = run.config.embedding
    low, full = run.draw(f"principal {domain}", config.principal_patches, config.patch_size)
    samples = embedding.linear_samples(low if domain == "low" else full)
    components = principal_components(samples, embedding.latent_channels, seed=run.config.seed)
    residual = (components.total_variance - float(components.variances.sum())) / samples.shape[1]
    # Posterior noise as probabilistic PCA has it: a latent need be no sharper than what it leaves out.
    embedding.start_from(components, noise=max(residual, 1e-6) ** 0.5)


def _groups(embedding: Embedding) -> list[dict[str, object]]:
    linear = embedding.linear_parameters()
    others = [p for p in embedding.parameters() if all(p is not q for q in linear)]
    return [{"params": linear, "share": _LINEAR_SHARE}, {"params": others}]
