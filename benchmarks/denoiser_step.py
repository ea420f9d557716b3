"""A training step of our denoisers against the same step with ldct-benchmark's networks, in a plain loop of torch.

python benchmarks/denoiser_step.py [--out FILE.json] [--repeats N] [--patches N]

Ours is what `training/denoiser.py` does at a step: learning rate, networks set up by Fabric with kernels stored
channels last, losses, Adam, and the watch that looks whether all is finite. Theirs is the loop that their trainers
have, with the same Adam and patches. Where the package `ldct-benchmark` is not installed, the same layers are written
down here. WGAN-VGG: one turn of the critic for one of the denoiser, as they have it; the perceptual loss, which would
cost both sides the same, is left out of both. Their trainer denoises the batch for each turn again, ours once.
"""

from __future__ import annotations

import argparse
import json
from argparse import Namespace
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from timing import Ratio, Work, compare
from torch import Tensor, nn

from CTInvarianceLib.base import Reporter
from CTInvarianceLib.denoisers import Chen, Yang
from CTInvarianceLib.models import for_convolutions
from CTInvarianceLib.training import Critic, Watch, critic_loss
from CTInvarianceLib.training.run import set_learning_rate

THREADS = 2
RATE = 1e-4
CHEN_PATCH, YANG_PATCH = 33, 64


def cnn10() -> nn.Module:
    try:
        from ldctbench.methods.cnn10.network import Model
    except ImportError:
        sizes = ((1, 64, 9), (64, 32, 3), (32, 1, 5))
        layers = [each for i, o, k in sizes for each in (nn.Conv2d(i, o, k, padding=k // 2), nn.ReLU())]
        return nn.Sequential(*layers[:-1])
    return Model(Namespace())


def wganvgg() -> tuple[nn.Module, nn.Module]:
    """Generator and critic."""
    try:
        from ldctbench.methods.wganvgg.network import Discriminator, Model
    except ImportError:
        widths = [1, *[32] * 7, 1]
        pairs = pairwise(widths)
        layers = [each for i, o in pairs for each in (nn.Conv2d(i, o, 3, padding=1), nn.ReLU())]
        sizes = ((1, 64, 1), (64, 64, 2), (64, 128, 1), (128, 128, 2), (128, 256, 1), (256, 256, 2))
        critic = [each for i, o, stride in sizes for each in (nn.Conv2d(i, o, 3, stride), nn.LeakyReLU())]
        flat = (nn.Flatten(), nn.Linear(256 * 5 * 5, 1024), nn.LeakyReLU(), nn.Linear(1024, 1))
        return nn.Sequential(*layers[:-1]), nn.Sequential(*critic, *flat)
    return Model(Namespace()), Discriminator(input_size=YANG_PATCH)


def watched(**modules: nn.Module) -> tuple[Watch, list[nn.Module], list[torch.optim.Optimizer]]:
    """Networks and optimisers as our loops set them up, and what watches them."""
    fabric = Fabric(accelerator="cpu", devices=1)
    raw = {name: (module, torch.optim.Adam(module.parameters(), RATE)) for name, module in modules.items()}
    both = [fabric.setup(*each) for each in raw.values()]
    watch = Watch("stage", 10**6, raw, Reporter(lambda event: None, {"stage": 1}), fabric=fabric)
    watch.over(0)
    return watch, [module for module, _ in both], [optimizer for _, optimizer in both]


def l2_ours(low: Tensor, full: Tensor) -> Work:
    watch, (model,), (optimizer,) = watched(denoiser=for_convolutions(Chen(last_kernel=5)))
    steps = iter(range(10**6))

    def step() -> None:
        number = next(steps)
        set_learning_rate(optimizer, RATE * watch.rate(number))
        loss = F.mse_loss(model(low), full)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch.seen(number, loss)

    return step


def l2_theirs(low: Tensor, full: Tensor) -> Work:
    model, criterion = cnn10(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), RATE)

    def step() -> None:
        optimizer.zero_grad()
        criterion(model(low), full).backward()
        optimizer.step()

    return step


def wgan_ours(low: Tensor, full: Tensor) -> Work:
    networks = {"denoiser": for_convolutions(Yang()), "critic": Critic(YANG_PATCH)}
    watch, (model, critic), (optimizer, critic_optimizer) = watched(**networks)
    steps, generator = iter(range(10**6)), torch.Generator().manual_seed(0)

    def step() -> None:
        number = next(steps)
        for each in (optimizer, critic_optimizer):
            set_learning_rate(each, RATE * watch.rate(number))
        denoised = model(low)
        loss_c = critic_loss(
            critic, full, denoised.detach(), torch.rand(len(full), 1, 1, 1, generator=generator)
        )
        critic_optimizer.zero_grad()
        loss_c.backward()
        critic_optimizer.step()
        loss = -critic(denoised).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        watch.seen(number, loss, loss_c)

    return step


def wgan_theirs(low: Tensor, full: Tensor) -> Work:
    model, critic = wganvgg()
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    critic_optimizer = torch.optim.Adam(critic.parameters(), RATE)

    def step() -> None:
        critic_optimizer.zero_grad()
        fakes = model(low)
        share = torch.rand(len(low), 1, 1, 1)
        between = (share * full + (1 - share) * fakes).requires_grad_()
        scores = critic(between)
        (gradient,) = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True)
        penalty = 10 * ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
        (critic(fakes).mean() - critic(full).mean() + penalty).backward()
        critic_optimizer.step()
        optimizer.zero_grad()
        (-critic(model(low)).mean()).backward()
        optimizer.step()

    return step


def measure(repeats: int, patches: int) -> dict[str, Ratio]:
    generator = torch.Generator().manual_seed(0)

    def drawn(count: int, size: int) -> tuple[Tensor, Tensor]:
        low, full = (torch.randn(count, 1, size, size, generator=generator) for _ in range(2))
        return low, full

    chen, yang = drawn(patches, CHEN_PATCH), drawn(max(1, patches // 8), YANG_PATCH)
    return {
        "Chen, L2": compare(l2_ours(*chen), l2_theirs(*chen), repeats=repeats, warm_up=2),
        "Yang, WGAN": compare(wgan_ours(*yang), wgan_theirs(*yang), repeats=repeats, warm_up=2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--patches", type=int, default=64, help="of Chen's batch; Yang's has an eighth")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    ratios = measure(arguments.repeats, arguments.patches)
    print(
        f"{arguments.patches} patches of {CHEN_PATCH}², {arguments.patches // 8} of {YANG_PATCH}², {THREADS} threads"
    )
    print(f"{'':20}{'ours, ms':>10}{'theirs, ms':>12}{'ratio':>7}")
    for name, value in ratios.items():
        print(f"{name:20}{1e3 * value.ours:10.1f}{1e3 * value.theirs:12.1f}{value.ratio:7.2f}")
    if arguments.out:
        arguments.out.write_text(
            json.dumps({name: asdict(value) for name, value in ratios.items()}, indent=2)
        )


if __name__ == "__main__":
    main()
