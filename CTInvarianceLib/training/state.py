"""Modules and their optimisers as named tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..base import WeightsError
from ..models import fill_module

Trained = Mapping[str, tuple[nn.Module, torch.optim.Optimizer]]
"""Name -> module and its optimiser."""


def state_of(trained: Trained) -> dict[str, Tensor]:
    """Weights and moments, by name; not copied."""
    tensors: dict[str, Tensor] = {}
    for name, (module, optimizer) in trained.items():
        tensors |= {f"module.{name}.{key}": value for key, value in module.state_dict().items()}
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{name}.{index}.{key}": torch.as_tensor(v) for key, v in state.items()}
    return tensors


def fill_state(trained: Trained, tensors: Mapping[str, Tensor], *, where: object) -> None:
    """Bring back what `state_of` gave.

    Raises:
        WeightsError: it is of another configuration.
    """
    for name, (module, optimizer) in trained.items():
        fill_module(module, below(tensors, f"module.{name}."), where=where)
        _fill_optimizer(optimizer, below(tensors, f"optimizer.{name}."), where)


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _fill_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], where: object) -> None:
    """Moments lie in memory as their weights do: optimisers in one kernel take both as they lie there, one by one."""
    content = optimizer.state_dict()
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    try:
        for name, tensor in tensors.items():
            index, key = name.split(".", 1)
            own = parameters[int(index)]
            if tensor.shape == own.shape:
                tensor = torch.empty_like(own, requires_grad=False).copy_(tensor)
            state.setdefault(int(index), {})[key] = tensor
        content["state"] = state
        optimizer.load_state_dict(content)
    except (ValueError, KeyError, IndexError) as error:
        raise WeightsError(
            f"the checkpoint does not fit this configuration ({error})", where=where
        ) from error
