"""What every training loop asks of its steps: are they sound, do they still help, and when is it enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..base import ConfigError, Reporter
from ..tensors import WARM_UP, rate_factor
from .state import Trained, below, fill_state, state_of

LOOK_EVERY = 20
"""Steps between two looks at whether all values are finite: one look waits for the device."""

_LEAST_FALL = 1e-3  # of the validation loss, below which it counts as no longer falling
_ANNEALED = 0.2  # share of all steps in which the rate falls to 0

Validate = Callable[[nn.Module], float]
"""The loss of a module on patches that are kept for it, the same every time."""


class Watch:
    """Guards a flat loop, stops it when the validation loss has stopped falling, and averages its weights.

    A loop does this, and all of it is the same whether or not the run was interrupted in between::

        watch = Watch(stage, steps, trained, report, validate=…, every=250, patience=8, average=0.999)
        checkpoint, first = run.resume(stage, trained, watch)
        for step, … in run.batches(stage, first, steps, …):
            if watch.over(step):
                break
            set_learning_rate(optimizer, peak * watch.rate(step))
            …
            optimizer.step()
            watch.seen(step, loss)
            run.end_step(stage, step, watch.steps, checkpoint)
        watch.finish()

    **Guard.** Every `LOOK_EVERY` steps all weights and losses are looked at. Where they are finite, they are kept in
    memory; where not, the loop goes back to the weights and moments that were kept last, says so as a `log` event, and
    goes on with the batches that follow. The second time it ends with an error.

    **Enough.** With `patience`, the rate is constant after its warm-up, until `patience` validations have brought less
    than a thousandth of a fall, or four fifths of `steps` are done; then it falls to 0 in a line over a quarter of the
    steps done, and the loop is over (trapezoidal schedule: Hägele et al. 2024, arXiv:2405.18392). Without, it is
    `rate_factor`'s cosine over `steps`. With `every`, the weights of the lowest validation loss are those that remain.

    **Average.** Exponential, over steps, with the given decay (Polyak & Juditsky 1992, doi:10.1137/0330046), less in
    the beginning: (1 + n) / (10 + n) after n steps, so that the first weights are soon forgotten. The averaged weights
    are those that are validated and that remain.

    Args:
        stage: what events call it.
        steps: at most.
        trained: name -> module and optimiser, on their device; the first one is validated, averaged and handed out.
        report: gets the metric `validation` and what goes wrong.
        fabric: of several processes, which then decide alike; None: there is one.
        validate: the loss that is to fall; needed where `every` is not 0.
        every: steps between two validations; 0: none.
        patience: validations without a fall after which the rate is lowered; 0: never, the rate follows its cosine.
        average: decay of the average, per step; 0: none.
    """

    def __init__(
        self,
        stage: str,
        steps: int,
        trained: Trained,
        report: Reporter,
        *,
        fabric: Fabric | None = None,
        validate: Validate | None = None,
        every: int = 0,
        patience: int = 0,
        average: float = 0.0,
    ) -> None:
        self._stage, self._most, self._report, self._fabric = stage, steps, report, fabric
        self._trained, self._validate, self._every, self._patience = dict(trained), validate, every, patience
        self._module = next(iter(trained.values()))[0]
        self._averaged = AveragedModel(self._module, multi_avg_fn=_average(average)) if average else None
        self._flaw = torch.zeros((), dtype=torch.bool, device=next(self._module.parameters()).device)
        self._best: dict[str, Tensor] = {}
        self._kept: dict[str, Tensor] = {}
        self._lowest, self._stale, self._setbacks = math.inf, 0, 0
        self._annealed_from: int | None = None
        self._next = 0

    @property
    def steps(self) -> int:
        """How many there will be, as far as is known."""
        if self._patience == 0:
            return self._most
        begun = self._longest if self._annealed_from is None else self._annealed_from
        return min(self._most, begun + max(1, round(begun * _ANNEALED / (1 - _ANNEALED))))

    @property
    def _longest(self) -> int:
        return round(self._most * (1 - _ANNEALED))

    def over(self, step: int) -> bool:
        """Whether all steps before this one are enough; asked before each, the first time with all as it begins."""
        if not self._kept:
            self._kept = _copied(state_of(self._trained))
        return step >= self.steps

    def rate(self, step: int) -> float:
        """Learning rate of a step relative to the largest."""
        if self._patience == 0:
            return rate_factor(step, self._most)
        begun = self._longest if self._annealed_from is None else self._annealed_from
        if step >= begun:
            return (self.steps - step) / max(1, self.steps - begun)
        return min(1.0, (step + 1) / max(1, round(WARM_UP * self._longest)))

    def seen(self, step: int, *losses: Tensor) -> None:
        """Look at what a step has made, after the optimisers'.

        Args:
            step: its number.
            losses: of the step, each one number; the device is not waited for.

        Raises:
            ConfigError: values are not finite, for the second time.
        """
        self._next = step + 1
        for loss in losses:
            self._flaw |= ~loss.detach().isfinite()
        if self._averaged is not None:
            self._averaged.update_parameters(self._module)
        if self._next % LOOK_EVERY == 0:
            self._look(step)
        if self._every and self._next % self._every == 0 and self._all_sound():
            self._validated(step)

    def finish(self) -> None:
        """Look for the last time, and give the module the weights that remain."""
        self._look(self._next - 1)
        if self._every:
            if self._next % self._every or not self._best:
                self._validated(self._next - 1)
            self._module.load_state_dict(self._best)
        elif self._averaged is not None:
            self._module.load_state_dict(self._averaged.module.state_dict())

    def sound(self) -> bool:
        """Whether this process's losses since the last look, and all weights, are finite; waits for the device."""
        modules = (module for module, _ in self._trained.values())
        finite = [p.isfinite().all() for module in modules for p in module.parameters()]
        return not bool(self._flaw | ~torch.stack(finite).all())

    def tensors(self) -> dict[str, Tensor]:
        """All that has to be known to go on exactly; for a checkpoint."""
        numbers = (
            self._next,
            self._stale,
            self._setbacks,
            -1 if self._annealed_from is None else self._annealed_from,
        )
        found = {"numbers": torch.tensor(numbers), "lowest": torch.tensor(self._lowest, dtype=torch.float64)}
        found |= {f"kept.{name}": tensor for name, tensor in self._kept.items()}
        found |= {f"best.{name}": tensor for name, tensor in self._best.items()}
        if self._averaged is not None:
            found |= {f"average.{name}": tensor for name, tensor in self._averaged.state_dict().items()}
        return found

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Bring back what `tensors` gave; nothing, which older checkpoints have, leaves all as it is.

        Raises:
            KeyError, ValueError, RuntimeError: it does not fit.
        """
        if not tensors:
            return
        self._next, self._stale, self._setbacks, begun = (int(n) for n in tensors["numbers"])
        self._annealed_from = None if begun < 0 else begun
        self._lowest = float(tensors["lowest"])
        device = self._flaw.device
        self._kept, self._best = (_copied(below(tensors, part), device) for part in ("kept.", "best."))
        if self._averaged is not None:
            self._averaged.load_state_dict(below(tensors, "average."))

    def _all_sound(self) -> bool:
        """Whether all processes find it so; all ask at the same steps."""
        if self._fabric is None or self._fabric.world_size == 1:
            return self.sound()
        flaw = torch.tensor(float(not self.sound()), device=self._flaw.device)
        return not bool(torch.as_tensor(self._fabric.all_reduce(flaw, reduce_op="max")))

    def _look(self, step: int) -> None:
        if self._all_sound():
            self._kept = _copied(state_of(self._trained))
            return
        self._setbacks += 1
        if self._setbacks > 1:
            raise ConfigError(
                "the loss or the weights are not finite, for the second time",
                where=f"{self._stage}, by step {step + 1}",
                hint="Train in another folder with a lower learning_rate; if that does not help, look for images "
                "whose values are hardly HU.",
            )
        self._flaw.zero_()
        fill_state(self._trained, _copied(self._kept), where=self._stage)
        if self._averaged is not None:  # it has seen what was not finite
            self._averaged.module.load_state_dict(self._module.state_dict())
        text = f"{self._stage}: by step {step + 1}, the loss or the weights are not finite; back to those kept before"
        self._report.emit("log", message=text)

    def _validated(self, step: int) -> None:
        assert self._validate is not None, "needed where `every` is not 0"
        module = self._module if self._averaged is None else self._averaged.module
        mode = module.training
        with torch.no_grad():
            loss = self._validate(module.eval())
        module.train(mode)
        if self._fabric is not None:
            loss = self._fabric.broadcast(loss)
        self._report.metric(self._stage, step, validation=loss)
        self._stale = 0 if loss < self._lowest * (1 - _LEAST_FALL) else self._stale + 1
        if loss < self._lowest or not self._best:
            self._best = _copied(module.state_dict())
        self._lowest = min(self._lowest, loss)
        waited = self._patience and self._stale >= self._patience
        if waited and self._annealed_from is None and self._next < self._longest:
            self._annealed_from = self._next


def _average(decay: float) -> Callable[[Any, Any, Any], None]:
    def update(averaged: Any, current: Any, count: Any) -> None:
        done = int(count)
        get_ema_multi_avg_fn(min(decay, (1 + done) / (10 + done)))(averaged, current, count)

    return update


def _copied(tensors: Mapping[str, Tensor], device: torch.device | None = None) -> dict[str, Tensor]:
    return {name: tensor.detach().to(device or tensor.device, copy=True) for name, tensor in tensors.items()}
