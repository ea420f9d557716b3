"""The plan of a run counts what its networks multiply."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from CTInvarianceLib.config import preset
from CTInvarianceLib.training import plan, plan_work
from CTInvarianceLib.training.critic import Critic
from CTInvarianceLib.training.perceptual import VGG19Features


@pytest.mark.parametrize(("size", "width", "pairs"), [(64, 16, 3), (128, 8, 4)])
def test_the_work_of_a_critic_is_that_of_its_convolutions(size, width, pairs):
    critic = Critic(size, width, pairs, hidden=8)
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        critic.features(torch.zeros(1, 1, size, size))
    assert plan._critic(size, width, pairs) == counted.get_total_flops() / 2


def test_the_work_of_vgg19_is_counted():
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        VGG19Features()(torch.zeros(1, 1, 64, 64))
    assert counted.get_total_flops() / 2 / 64**2 == pytest.approx(plan._VGG19_WORK, rel=0.02)


def test_a_critic_with_more_turns_makes_its_stage_longer_and_no_other():
    slides = preset("slides")
    yang = dataclasses.replace(slides.denoisers["yang"], critic_steps=8)
    more = dataclasses.replace(slides, denoisers={**slides.denoisers, "yang": yang})
    before, after = plan_work(slides), plan_work(more)
    assert 1.4 < after["denoiser yang"] / before["denoiser yang"] < 2
    assert {k: v for k, v in after.items() if k != "denoiser yang"} == {
        k: v for k, v in before.items() if k != "denoiser yang"
    }
