"""Training of all flows of a denoiser at once, by maximum likelihood: one flat loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..base import Cancelled, Progress
from ..config import FlowConfig
from ..flow import INITIAL, Flow, FlowBatch, FlowStack, descend, make_optimizer
from .run import Run, seeded, set_learning_rate
from .watch import LOOK_EVERY, Watch

_MAX_NORM = 10.0  # of a flow's gradient, for every cell of a grid
VALIDATED, _AT_ONCE = 64, 16  # patches kept for the validation, the same every time


class FlowPool(Protocol):
    """Patches as all flows of a denoiser see them."""

    def __len__(self) -> int:
        """How many patches."""
        ...

    def drawn(self, count: int, generator: torch.Generator, own: slice = slice(None)) -> FlowBatch:
        """What every flow sees of patches drawn by chance: `count` over all processes, those of one of them."""
        ...


class FlowSource(Protocol):
    """Where pools come from; patches are numbered, and the same for a number whoever draws them."""

    def begin(self, numbers: range, progress: Progress) -> FlowPool:
        """The first pool, from which all that has a closed form is set."""
        ...

    def pool(self, numbers: range, progress: Progress) -> FlowPool:
        """A later one."""
        ...

    def kept(self, count: int, progress: Progress) -> FlowPool:
        """Patches of patients kept for validation."""
        ...


def pools(config: FlowConfig) -> list[tuple[range, int]]:
    """The numbers of every pool's patches, and the step from which it is drawn from."""
    count = -(-config.patches // config.at_once)
    size = -(-config.patches // count)
    return [
        (range(number * size, min((number + 1) * size, config.patches)), -(-number * config.steps // count))
        for number in range(count)
    ]


def train_flows(
    run: Run, source: FlowSource, flows: Mapping[str, Flow], *, conditions: str, stage: str
) -> None:
    """Fit flows of one denoiser; they are left in eval mode, with the weights that remain.

    Args:
        run: the run; its configuration's `flow` says how.
        source: of what the flows see.
        flows: what metrics call them -> flow, on the run's device; in the order of `source`.
        conditions: the stage in which the first pool is made.
        stage: that of the training.
    """
    config, fabric = run.config.flow, run.fabric
    plan = pools(config)
    pool = source.begin(plan[0][0], lambda fraction: run.report.progress(conditions, fraction))
    count = min(config.batch_size, len(pool))
    with torch.no_grad():
        initialise(list(flows.values()), pool.drawn(max(count, INITIAL), seeded(run.config.seed, stage)))
    stack = FlowStack(list(flows.values()))
    optimizer = make_optimizer(stack, config.weight_decay)
    trained = {"flows": (stack, optimizer)}
    kept = _validation_batches(run, source, conditions) if config.validate_every else []

    def validate(module: torch.nn.Module) -> float:
        assert isinstance(module, FlowStack)  # what is trained here
        return float(torch.stack([_nats(module, batch).mean() for batch in kept]).mean())

    watch = Watch(
        stage,
        config.steps,
        trained,
        run.report,
        fabric=fabric,
        validate=validate,
        every=config.validate_every,
        patience=config.patience,
    )
    checkpoint, first = run.resume(stage, trained, watch)
    average = run.average if fabric.world_size > 1 else None
    own = slice(fabric.global_rank, None, fabric.world_size)
    current = 0
    for step in range(first, config.steps):
        if watch.over(step):
            break
        number = max(index for index, (_, begun) in enumerate(plan) if begun <= step)
        if number != current:
            try:
                pool = source.pool(plan[number][0], _waiting(run, stage, step / watch.steps))
            except Cancelled:
                checkpoint.save(step, now=True)
                raise
            current = number
        batch = pool.drawn(count, seeded(run.config.seed, stage, step), own)
        set_learning_rate(optimizer, config.learning_rate * watch.rate(step))
        losses = descend(stack, optimizer, batch, max_norm=max_norm(batch), average=average)
        watch.seen(step, losses.sum())
        if step % LOOK_EVERY == 0:
            run.report.metric(stage, step, nll=float(losses.mean()))
        run.end_step(stage, step, watch.steps, checkpoint)
    watch.finish()
    stack.unstack(list(flows.values()))
    if kept:
        nats = torch.stack([_nats(stack, batch) for batch in kept]).mean(0)
        found = dict(zip(flows, nats.tolist(), strict=True))
        run.report.metric(
            stage, watch.steps, **{f"validation, {name}": value for name, value in found.items()}
        )
    for flow in flows.values():
        flow.eval()


def initialise(flows: Sequence[Flow], batch: FlowBatch) -> None:
    """Set every flow's scales from what it sees."""
    latents, conditions = batch
    for number, flow in enumerate(flows):
        flow.initialise(latents[number], None if conditions is None else conditions[number])


def max_norm(batch: FlowBatch) -> float:
    """What a flow's gradient is clipped to."""
    latent = batch[0][0]
    return _MAX_NORM * (latent[0, 0].numel() if latent.ndim > 2 else 1)


def _validation_batches(run: Run, source: FlowSource, conditions: str) -> list[FlowBatch]:
    pool = source.kept(VALIDATED, _waiting(run, conditions, 1.0))
    generator = seeded(run.config.seed, "flow validation")
    return [pool.drawn(_AT_ONCE, generator) for _ in range(VALIDATED // _AT_ONCE)]


def _waiting(run: Run, stage: str, done: float) -> Progress:
    """A stage that stands where it is while something is looked at; it can be ended meanwhile."""
    return lambda fraction: run.report.progress(stage, done)


@torch.no_grad()
def _nats(stack: FlowStack, batch: FlowBatch) -> Tensor:
    """-log p of every flow, (flows,)."""
    return -stack.log_prob(*batch).mean(1)
