"""Flows that are trained together: of those equal in shape, every parameter lies in one tensor, a row for each flow."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

if TYPE_CHECKING:
    from .interface import Flow


_LARGE = 1 << 20
"""Weights from which a flow fills a CPU by itself: eleven of 22 million took 1.34 times as long stacked, as memory for
gradients of such a size comes anew from the system in every step."""


class FlowStack(nn.Module):
    """Several flows as one module, for an optimiser that treats every flow as if it were alone.

    Products of the flows become batched products, convolutions grouped ones: a step of many small flows costs less
    than their steps one after another (docs/decisions/0016-stacked-flows.md).

    Args:
        flows: of one kind; those whose weights have the same shapes are stacked, but for large ones on a CPU.
    """

    def __init__(self, flows: Sequence[Flow]) -> None:
        super().__init__()
        shapes: dict[object, list[int]] = {}
        for number, flow in enumerate(flows):
            key: object = tuple((name, tensor.shape) for name, tensor in flow.state_dict().items())
            if _fills_a_cpu(flow):
                key = number
            shapes.setdefault(key, []).append(number)
        self._members = tuple(shapes.values())
        self.groups = nn.ModuleList(_Equal([flows[number] for number in own]) for own in self._members)

    def log_prob(self, latents: Sequence[Tensor], conditions: Sequence[Tensor] | None = None) -> Tensor:
        """log p(z̄ given z) of every flow's own latents (N, …) and conditions (N, …): (flows, N), nats."""
        found: dict[int, Tensor] = {}
        for own, values in self._each(latents, conditions):
            found |= dict(zip(own, values, strict=True))
        return torch.stack([found[number] for number in range(len(found))])

    def accumulate(self, latents: Sequence[Tensor], conditions: Sequence[Tensor] | None = None) -> Tensor:
        """Add the gradients of every flow's mean of -log p, which is returned, (flows,), nats.

        Stack after stack: what one keeps for its gradients is gone before the next begins.
        """
        found: dict[int, Tensor] = {}
        for own, values in self._each(latents, conditions):
            losses = -values.mean(1)
            losses.sum().backward()  # type: ignore[no-untyped-call]
            found |= dict(zip(own, losses.detach(), strict=True))
        return torch.stack([found[number] for number in range(len(found))])

    def _each(
        self, latents: Sequence[Tensor], conditions: Sequence[Tensor] | None
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Of every stack, when it is asked for: the numbers of its flows, and their log p (flows of the stack, N)."""
        for own, group in zip(self._members, self._equal(), strict=True):
            given = None if conditions is None else torch.stack([conditions[number] for number in own])
            yield own, group.log_prob(torch.stack([latents[number] for number in own]), given)

    @torch.no_grad()
    def clip_gradients(self, max_norm: float) -> None:
        """Shorten the gradient of every flow whose norm, over all of its own parameters, is larger."""
        for group in self.groups:
            gradients = [p.grad for p in group.parameters() if p.grad is not None]
            norms = torch.stack([each.flatten(1).norm(dim=1) for each in gradients]).norm(dim=0)
            shares = (max_norm / (norms + 1e-6)).clamp_max(1)
            for each in gradients:
                each.mul_(shares.view(-1, *[1] * (each.ndim - 1)))

    @torch.no_grad()
    def unstack(self, flows: Sequence[Flow]) -> None:
        """Give the flows, in their order, the weights that they have here."""
        for own, group in zip(self._members, self._equal(), strict=True):
            for row, number in enumerate(own):
                group.copy_to(flows[number], row)

    def _equal(self) -> list[_Equal]:
        return cast(list[_Equal], list(self.groups))


def _fills_a_cpu(flow: Flow) -> bool:
    parameters = list(flow.parameters())
    return parameters[0].device.type == "cpu" and sum(each.numel() for each in parameters) > _LARGE


class _LogProb(nn.Module):
    """A flow whose call is its likelihood: only calls can be given other weights."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        return self.flow.log_prob(latent, condition)


class _Equal(nn.Module):
    """Flows equal in shape."""

    def __init__(self, flows: Sequence[Flow]) -> None:
        super().__init__()
        parameters, buffers = stack_module_state(list(flows))  # type: ignore[arg-type]
        for name, tensor in parameters.items():
            self.register_parameter(_as_own(name), nn.Parameter(tensor.detach().contiguous()))
        for name, tensor in buffers.items():
            self.register_buffer(_as_own(name), tensor)
        # In a tuple, so that it is no part of this module: it has the structure, not the weights.
        self._one = (_LogProb(copy.deepcopy(flows[0]).to("meta")),)

    def log_prob(self, latents: Tensor, conditions: Tensor | None) -> Tensor:
        """(flows, N), nats."""
        stacked = {
            "flow." + _as_of_flow(name): tensor
            for name, tensor in (*self.named_parameters(), *self.named_buffers())
        }

        def one(weights: dict[str, Tensor], latent: Tensor, condition: Tensor | None) -> Tensor:
            found: Tensor = functional_call(self._one[0], weights, (latent, condition))
            return found

        in_dims = (0, 0, None if conditions is None else 0)
        found: Tensor = torch.vmap(one, in_dims)(stacked, latents, conditions)
        return found

    def copy_to(self, flow: Flow, row: int) -> None:
        """Set a flow's parameters and buffers."""
        own = {**dict(flow.named_parameters()), **dict(flow.named_buffers())}
        for name, tensor in (*self.named_parameters(), *self.named_buffers()):
            own[_as_of_flow(name)].copy_(tensor[row])


def _as_own(name: str) -> str:
    """Names of parameters may not have dots."""
    return name.replace(".", "/")


def _as_of_flow(name: str) -> str:
    return name.replace("/", ".")
