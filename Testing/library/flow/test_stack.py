"""Flows trained together are what they would be if each were trained alone."""

from __future__ import annotations

import copy

import pytest
import torch

from CTInvarianceLib.flow import ConditionalFlow, ConvolutionalFlow, FlowStack, descend, make_optimizer

STEPS, RATE, CLIPPED = 12, 2e-2, 0.5


def vector_flows():
    return [ConditionalFlow(6, 3, blocks=2, hidden=8, seed=seed).double() for seed in range(3)]


def grid_flows():
    """The third has conditions of another number of channels, as an output layer has: it is a stack of its own."""
    return [
        ConvolutionalFlow(4, maps, 1, 2, 8, condition_width=6, seed=seed).double()
        for seed, maps in enumerate((3, 3, 2, 3))
    ]


def batches(flows, generator):
    """Latents of every flow: of other size and correlation, so that they learn different things at different speed."""
    latents, conditions = [], []
    for number, flow in enumerate(flows):
        count = 32
        if isinstance(flow, ConditionalFlow):
            shape, given = (count, flow.latent_dim), (count, flow.condition_dim)
        else:
            shape, given = (count, flow.channels, 4, 4), (count, flow.condition_channels, 4, 4)
        condition = torch.randn(given, generator=generator, dtype=torch.float64)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        latents.append((number + 1) * noise * condition[:, :1].exp() + condition.mean() + number)
        conditions.append(condition)
    return latents, conditions


def train(flows, seen, optimizer_of=make_optimizer):
    stack = FlowStack(flows)
    optimizer = optimizer_of(stack, 1e-2)
    for group in optimizer.param_groups:
        group["lr"] = RATE
    losses = [descend(stack, optimizer, batch, max_norm=CLIPPED) for batch in seen]
    stack.unstack(flows)
    return torch.stack(losses)


@pytest.fixture(scope="module", params=[vector_flows, grid_flows])
def both(request):
    """Flows and losses: trained together, and one by one; and the flows before."""
    flows = request.param()
    generator = torch.Generator().manual_seed(1)
    first = batches(flows, generator)
    for flow, latent, condition in zip(flows, *first, strict=True):
        flow.initialise(latent, condition)
    seen = [batches(flows, generator) for _ in range(STEPS)]
    alone, begun = copy.deepcopy(flows), copy.deepcopy(flows)
    losses = train(flows, seen)
    losses_alone = [
        train([flow], [([x[number]], [c[number]]) for x, c in seen]) for number, flow in enumerate(alone)
    ]
    return flows, losses, alone, torch.cat(losses_alone, dim=1), begun


def test_the_stacked_flows_are_those_trained_one_by_one(both):
    flows, losses, alone, losses_alone, _ = both
    assert torch.allclose(losses, losses_alone, rtol=0, atol=1e-9)
    for flow, own in zip(flows, alone, strict=True):
        for (name, tensor), other in zip(flow.state_dict().items(), own.state_dict().values(), strict=True):
            assert torch.allclose(tensor.double(), other.double(), rtol=0, atol=1e-9), name


def test_every_one_of_them_is_trained(both):
    flows, *_, begun = both
    for flow, before in zip(flows, begun, strict=True):
        moved = [
            (own - other).detach().abs().max()
            for own, other in zip(flow.parameters(), before.parameters(), strict=True)
        ]
        assert float(max(moved)) > RATE


def test_a_flow_with_large_gradients_does_not_shorten_those_of_the_others():
    flows = vector_flows()
    generator = torch.Generator().manual_seed(2)
    latents, conditions = batches(flows, generator)
    stack = FlowStack(flows)
    wild = [latents[0], 1e3 * latents[1], latents[2]]

    def steps(seen, max_norm):
        stack.zero_grad()
        (-stack.log_prob(seen, conditions).mean(1).sum()).backward()
        stack.clip_gradients(max_norm)
        return torch.cat([p.grad.flatten(1) for p in stack.parameters()], dim=1)

    calm, clipped = steps(latents, 1e30), steps(wild, 1e-2)
    assert torch.allclose(clipped.norm(dim=1), torch.full((3,), 1e-2, dtype=torch.float64), rtol=1e-3)
    cosine = torch.cosine_similarity(calm[0], clipped[0], dim=0)
    assert float(cosine) == pytest.approx(1, abs=1e-9), "the direction of a flow's gradient is its own"


def test_log_prob_is_that_of_every_flow_in_its_place():
    flows = grid_flows()
    latents, conditions = batches(flows, torch.Generator().manual_seed(3))
    found = FlowStack(flows).log_prob(latents, conditions)
    for number, flow in enumerate(flows):
        expected = flow.log_prob(latents[number], conditions[number])
        assert torch.allclose(found[number], expected, rtol=0, atol=1e-9)


def test_training_a_stack_leaves_the_flows_alone_until_they_are_unstacked():
    flows = vector_flows()
    before = copy.deepcopy(flows[0].state_dict())
    stack = FlowStack(flows)
    optimizer = make_optimizer(stack, 0.0)
    descend(stack, optimizer, batches(flows, torch.Generator().manual_seed(4)), max_norm=1.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in flows[0].state_dict().items())
    stack.unstack(flows)
    assert any(not torch.equal(before[name], tensor) for name, tensor in flows[0].state_dict().items())
