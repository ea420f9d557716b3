"""Flows of several layers trained together: against one after another, and against one flow that all layers share.

python benchmarks/stacked_flows.py [--flows 11] [--repeats N] [--out FILE.json]
python benchmarks/stacked_flows.py --models RUN --data SOURCE [--denoiser chen] [--steps 200]

Without a model set: the time of a step of all flows stacked over that of a step of each, for grids as in `quick` and
for vectors as in `slides`, on a GPU where there is one. With one: flows of its denoiser's layers are trained on that
data twice, each by itself (stacked), and with couplings that all layers share, where only what a condition makes of
itself is a layer's own; likelihood and calibration of validation patients, weights and seconds of both.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from timing import Ratio, compare
from torch import Tensor

from CTInvarianceLib.base import Reporter
from CTInvarianceLib.config import DOMAINS, preset, recognised
from CTInvarianceLib.data import Patches, load_patients, store_at
from CTInvarianceLib.flow import (
    ConditionalFlow,
    ConvolutionalFlow,
    Flow,
    FlowBatch,
    FlowStack,
    ImageFlow,
    descend,
    make_optimizer,
)
from CTInvarianceLib.models import Models, build_flow
from CTInvarianceLib.sources import find_pairs
from CTInvarianceLib.tensors import rate_factor
from CTInvarianceLib.training import (
    ImageSource,
    Run,
    draw_pool,
    initialise,
    make_fabric,
    max_norm,
    plan_work,
    see_layer,
)
from CTInvarianceLib.trust import calibrate

CELLS, GRID_BATCH, VECTOR_BATCH = 12, 32, 128
PATCHES, KEPT = 256, 64


def step_times(
    count: int, repeats: int, device: torch.device, kinds: tuple[str, ...] = ("convolutional", "vector")
) -> dict[str, Ratio]:
    """Of a step of `count` flows, stacked over one by one."""
    quick, slides = preset("quick").flow, preset("slides").flow
    maps, channels, latent = ImageFlow.maps(4), 16, preset("slides").embedding.latent_dim

    def grid() -> ConvolutionalFlow:
        return ConvolutionalFlow(
            channels,
            maps,
            quick.levels,
            quick.blocks,
            quick.hidden,
            condition_width=quick.condition_width,
        ).to(device)

    def vector() -> ConditionalFlow:
        return ConditionalFlow(latent, slides.condition_dim, slides.blocks, slides.hidden).to(device)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(count, *shape, device=device)

    def of(kind: str) -> tuple[list[Flow], FlowBatch]:
        if kind == "vector":
            condition = list(drawn(VECTOR_BATCH, slides.condition_dim))
            return [vector() for _ in range(count)], (list(drawn(VECTOR_BATCH, latent)), condition)
        condition = list(drawn(GRID_BATCH, maps, CELLS, CELLS))
        return [grid() for _ in range(count)], (list(drawn(GRID_BATCH, channels, CELLS, CELLS)), condition)

    return {f"{count} {kind} flows": _ratio(*of(kind), repeats, device) for kind in kinds}


def _ratio(flows: list[Flow], batch: FlowBatch, repeats: int, device: torch.device) -> Ratio:
    latents, conditions = batch
    assert conditions is not None  # of these flows
    stack, alone = FlowStack(flows), [FlowStack([flow]) for flow in flows]
    optimizer, optimizers = make_optimizer(stack, 1e-4), [make_optimizer(each, 1e-4) for each in alone]

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def together() -> None:
        descend(stack, optimizer, batch, max_norm=10.0)
        wait()

    def in_turn() -> None:
        for number, each in enumerate(alone):
            descend(each, optimizers[number], ([latents[number]], [conditions[number]]), max_norm=10.0)
        wait()

    return compare(together, in_turn, repeats=repeats, warm_up=1)


class SharedFlows(torch.nn.Module):
    """Flows of one shape whose mixings, injectors and couplings are the first one's; trained as one `FlowStack` is."""

    def __init__(self, flows: list[Any]) -> None:
        super().__init__()
        first = flows[0]
        for flow in flows[1:]:
            flow.mixing, flow.levels = first.mixing, first.levels
        self.flows = torch.nn.ModuleList(flows)

    def log_prob(self, latents: Any, conditions: Any) -> Tensor:
        return torch.stack(
            [flow.log_prob(x, c) for flow, x, c in zip(self.flows, latents, conditions, strict=True)]
        )

    def accumulate(self, latents: Any, conditions: Any) -> Tensor:
        losses = -self.log_prob(latents, conditions).mean(1)
        losses.sum().backward()
        return losses.detach()

    def clip_gradients(self, largest: float) -> None:
        torch.nn.utils.clip_grad_norm_(self.parameters(), largest)


def qualities(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Of both kinds, on validation patients."""
    models = Models.load(options.models, device="cpu")
    base, name = models.config, options.denoiser
    config = dataclasses.replace(base, flow=dataclasses.replace(base.flow, steps=options.steps))
    patients = load_patients(find_pairs(options.data), base.data, seed=base.seed, store=store_at(None))
    ids = {pair.patient_id for pair in find_pairs(options.data)}
    kept = recognised(models.manifest, ids)["validation"]
    training, validation = (
        Patches([p for p in patients if (p.patient_id in kept) == wanted]) for wanted in (False, True)
    )
    denoisers = {each: models.denoiser(each) for each in models.denoisers}
    layers = config.denoisers[name].layers
    found = {}
    for kind in ("each its own, stacked", "shared couplings"):
        with tempfile.TemporaryDirectory() as folder:
            run = Run(
                config, Path(folder), make_fabric(config), Reporter(lambda event: None, plan_work(config)),
                training, validation, {"run": "a benchmark"},
            )  # fmt: skip
            flows = [build_flow(config, denoisers[name], la, domain) for la in layers for domain in DOMAINS]
            source = ImageSource(run, name, denoisers, layers, flows)
            pool = source.begin(range(PATCHES))
            unseen = source.kept(KEPT)
            found[kind] = _trained(kind, flows, pool, unseen, config.flow)
            found[kind] |= _calibration(run, denoisers, name, flows)
        print(kind, found[kind], flush=True)
    return found


def _trained(kind: str, flows: list[Any], pool: Any, unseen: Any, settings: Any) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    inner = [flow.flow for flow in flows]
    initialise(inner, pool.drawn(64, generator))
    stack: Any = FlowStack(inner) if kind.startswith("each") else SharedFlows(inner)
    optimizer = make_optimizer(stack, settings.weight_decay)
    start = time.perf_counter()
    for step in range(settings.steps):
        batch = pool.drawn(settings.batch_size, generator)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate_factor(step, settings.steps)
        descend(stack, optimizer, batch, max_norm=max_norm(batch))
    seconds = time.perf_counter() - start
    if isinstance(stack, FlowStack):
        stack.unstack(inner)
    with torch.no_grad():
        batches = [unseen.drawn(16, generator) for _ in range(8)]
        nats = torch.stack([-stack.log_prob(*batch).mean(1) for batch in batches]).mean()
    numbers = batches[0][0][0][0].numel()
    return {
        "bits per dimension": float(nats) / numbers / math.log(2),
        "weights": sum(each.numel() for each in stack.parameters()),
        "seconds": seconds,
    }


def _calibration(run: Run, denoisers: Any, name: str, flows: list[Any]) -> dict[str, float]:
    """Least, most and mean over the flows, of patches of validation patients."""
    patches = draw_pool(run, run.validation, denoisers, range(KEPT), "calibration")
    found = []
    for number, layer in enumerate(run.config.denoisers[name].layers):
        seen = see_layer(
            patches,
            denoisers[name],
            layer,
            tolerances=run.config.flow.tolerances,
            dose=run.config.data.dose,
        ).seen
        for which, domain in enumerate(DOMAINS):
            flow = flows[number * len(DOMAINS) + which].eval()
            found.append(calibrate(flow, seen, patches.domain(domain)))
    covered = [each.covered for each in found]
    return {
        "coverage, least": min(covered),
        "coverage, most": max(covered),
        "std of v": sum(each.v_std for each in found) / len(found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flows", type=int, default=11)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models")
    parser.add_argument("--data")
    parser.add_argument("--denoiser", default="chen")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    found: dict[str, Any]
    if options.models:
        found = qualities(options)
    else:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        ratios = step_times(options.flows, options.repeats, device)
        for name, value in ratios.items():
            print(f"{name:26}{1e3 * value.ours:10.1f} ms {1e3 * value.theirs:10.1f} ms {value.ratio:7.2f}")
        found = {name: asdict(value) for name, value in ratios.items()}
    if options.out:
        options.out.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
