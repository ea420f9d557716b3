"""What watches a loop: against what it promises, on a model of two weights whose steps are known."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import torch

import CTInvarianceLib as cti
from CTInvarianceLib.base import Cancelled, ConfigError, Reporter
from CTInvarianceLib.models import load_module, load_tensors
from CTInvarianceLib.tensors import normalize, rate_factor
from CTInvarianceLib.training import LOOK_EVERY, Watch
from CTInvarianceLib.training.checkpoint import Checkpoint
from CTInvarianceLib.training.ct_encoder import build_encoder

STEPS = 200


class Killed(Exception):  # noqa: N818 - not an error: a test wants it
    """Where a test ends a loop without a word."""


class Loop:
    """Adam on a linear model, as the denoisers' loops go about it; losses named in `broken` are not numbers."""

    def __init__(self, folder: Path, *, broken=(), validate=None, steps=STEPS, **options):
        torch.manual_seed(0)
        self.module = torch.nn.Linear(3, 2)
        self.optimizer = torch.optim.Adam(self.module.parameters(), 0.01)
        self.trained = {"module": (self.module, self.optimizer)}
        self.events, self.rates, self.weights = [], [], []
        self.watch = Watch(
            "stage", steps, self.trained, Reporter(self.events.append, {"stage": 1}),
            validate=validate or (lambda module: float(module(torch.ones(1, 3)).square().sum())), **options,
        )  # fmt: skip
        self.checkpoint = Checkpoint(folder / "stage.safetensors", self.trained, watch=self.watch)
        self.broken = broken

    def run(self, *, kill_at: int | None = None, save_at=()) -> Loop:
        step = self.checkpoint.restore()
        while not self.watch.over(step):
            if step == kill_at:
                raise Killed
            self.optimizer.param_groups[0]["lr"] = 0.01 * self.watch.rate(step)
            self.rates.append(self.watch.rate(step))
            x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
            loss = (self.module(x) - x[:, :2]).square().mean()
            if step in self.broken:
                loss = loss * torch.nan
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.watch.seen(step, loss)
            self.weights.append(self.module.weight.detach().clone())
            if step in save_at:
                self.checkpoint.save(step + 1, now=True)
            step += 1
        self.watch.finish()
        return self

    def state(self):
        return self.module.state_dict()


OPTIONS = {"every": 7, "patience": 6, "average": 0.9}


def stays(module):
    """A validation loss that soon falls no more."""
    return max(1.0, float(module(torch.ones(1, 3)).square().sum()))


@pytest.mark.parametrize("options", [{}, {"average": 0.9}, OPTIONS], ids=["plain", "average", "all"])
@pytest.mark.parametrize("broken", [(), (33,)], ids=["sound", "broken"])
def test_killed_anywhere_and_resumed_it_ends_at_the_same_bits(options, broken, tmp_path):
    (tmp_path / "whole").mkdir()
    whole = Loop(tmp_path / "whole", broken=broken, validate=stays, **options).run()
    steps = len(whole.rates)
    for saved in (0, 19, 29, 33, 39, 40, steps // 2, steps - 6):
        folder = tmp_path / str(saved)
        folder.mkdir(exist_ok=True)
        with pytest.raises(Killed):
            Loop(folder, broken=broken, validate=stays, **options).run(kill_at=saved + 5, save_at=(saved,))
        ours = Loop(folder, broken=broken, validate=stays, **options).run()
        assert all(torch.equal(ours.state()[name], value) for name, value in whole.state().items()), saved
    assert (steps < STEPS) == ("patience" in options), "the one that may has ended before"


def test_what_is_not_finite_is_never_saved(tmp_path):
    loop = Loop(tmp_path, broken=(33,))
    with pytest.raises(Killed):
        loop.run(kill_at=36, save_at=(30, 34))
    tensors, metadata = load_tensors(tmp_path / "stage.safetensors")
    assert metadata["step"] == 31
    assert all(tensor.isfinite().all() for name, tensor in tensors.items() if name != "watch.lowest")


def test_it_steps_back_to_what_was_kept_and_says_so(tmp_path):
    loop = Loop(tmp_path, broken=(33,)).run()
    assert loop.weights[35].isnan().all()
    assert torch.equal(loop.weights[2 * LOOK_EVERY - 1], loop.weights[LOOK_EVERY - 1])
    assert loop.weights[-1].isfinite().all()
    (said,) = (event["message"] for event in loop.events if event["event"] == "log")
    assert said.startswith("stage: by step 40, the loss or the weights are not finite")


def test_in_the_first_steps_it_steps_back_to_the_beginning(tmp_path):
    loop = Loop(tmp_path, broken=(3,))
    begun = loop.module.weight.detach().clone()
    loop.run()
    assert torch.equal(loop.weights[LOOK_EVERY - 1], begun)


def test_the_second_time_it_ends_with_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"second time: stage, by step 100\. Train .* lower learning_rate"):
        Loop(tmp_path, broken=(33, 87)).run()


def test_a_loss_alone_that_is_not_finite_is_noticed(tmp_path):
    """Where the gradient stays finite, too."""
    loop = Loop(tmp_path)
    loop.watch.over(0)
    loop.watch.seen(LOOK_EVERY - 2, torch.tensor(torch.inf))
    assert not loop.watch.sound()
    loop.watch.seen(LOOK_EVERY - 1, torch.tensor(1.0))
    assert [event["event"] for event in loop.events] == ["log"]
    assert loop.watch.sound()


def test_without_patience_the_rate_is_the_old_cosine(tmp_path):
    assert Loop(tmp_path, every=10).run().rates == [rate_factor(step, STEPS) for step in range(STEPS)]


def test_when_the_loss_stays_the_rate_falls_in_a_line_and_the_loop_ends(tmp_path):
    loop = Loop(tmp_path, validate=lambda module: 1.0, every=10, patience=4).run()
    # The first validation is a fall from infinity, four without one follow.
    assert len(loop.rates) == loop.watch.steps == 50 + 12
    assert loop.rates[8:50] == [1.0] * 42
    assert loop.rates[:8] == [(step + 1) / 8 for step in range(8)]
    assert loop.rates[50:] == pytest.approx([(12 - step) / 12 for step in range(12)])


def test_while_the_loss_falls_all_steps_are_done(tmp_path):
    losses = iter(0.99**step for step in range(STEPS))
    loop = Loop(tmp_path, validate=lambda module: next(losses), every=10, patience=2).run()
    assert len(loop.rates) == STEPS
    assert loop.rates[160:] == pytest.approx([(40 - step) / 40 for step in range(40)])


def test_a_fall_of_less_than_a_thousandth_is_none(tmp_path):
    losses = iter(1 - 1e-5 * step for step in range(STEPS))
    assert Loop(tmp_path, validate=lambda module: next(losses), every=10, patience=4).run().watch.steps == 62


def test_the_weights_of_the_lowest_loss_remain(tmp_path):
    losses = iter((3.0, 1.0, 2.0, *[4.0] * STEPS))
    loop = Loop(tmp_path, validate=lambda module: next(losses), every=10).run()
    assert torch.equal(loop.module.weight, loop.weights[19])
    metrics = [(e["step"], e["value"]) for e in loop.events if e["event"] == "metric"]
    assert metrics[:4] == [(9, 3.0), (19, 1.0), (29, 2.0), (39, 4.0)]


def test_the_last_weights_are_validated_too(tmp_path):
    seen = []
    Loop(tmp_path, steps=25, validate=lambda module: seen.append(1) or 1.0 / len(seen), every=10).run()
    assert len(seen) == 3


def test_the_average_forgets_the_first_weights_fast_and_later_ones_slowly(tmp_path):
    loop = Loop(tmp_path, average=0.9).run()
    expected = loop.weights[0].double()
    for done, weights in enumerate(loop.weights[1:], 1):
        decay = min(0.9, (1 + done) / (10 + done))
        expected = decay * expected + (1 - decay) * weights.double()
    torch.testing.assert_close(loop.module.weight.double(), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(loop.module.weight, loop.weights[-1], atol=1e-5)


def test_what_is_validated_is_the_average_and_in_eval_mode(tmp_path):
    seen = []

    def validate(module):
        seen.append((module.training, module.weight.detach().clone()))
        return 1.0

    loop = Loop(tmp_path, validate=validate, every=50, average=0.9).run()
    assert not any(training for training, _ in seen)
    assert torch.equal(loop.module.weight, seen[0][1]), "the first of equal losses remains"
    assert not torch.equal(seen[0][1], loop.weights[49])
    assert loop.module.training


def strong(**changes):
    """Both trained denoisers of the tiny run, with all that a long training has."""
    plain = tiny.config("complete")
    settings = {
        "chen": {"steps": 60, "margin": 6, "validate_every": 7, "patience": 2, "average": 0.9},
        "yang": {"steps": 12, "margin": 8, "perceptual": "vgg19 or ct", "validate_every": 4, "average": 0.5},
    }
    denoisers = {
        name: dataclasses.replace(plain.denoisers[name], layers=(), **each, **changes)
        for name, each in settings.items()
    }
    encoder = dataclasses.replace(
        plain.encoder,
        width=4,
        channels=2,
        patch_size=32,
        steps=40,
        batch_size=4,
        validate_every=10,
        learning_rate=1e-2,
    )
    return dataclasses.replace(plain, denoisers=denoisers, encoder=encoder)


STAGES = ("perceptual encoder", "denoiser chen", "denoiser yang")


@pytest.mark.slow
def test_strong_trainings_interrupted_in_every_stage_end_at_the_same_bits(tiny_source, tmp_path):
    events = []
    models = cti.train(strong(), tiny_source, tmp_path / "whole", on_event=events.append)
    assert models.manifest["config"]["denoisers"]["yang"]["perceptual"] == "ct", "no VGG19 was given"
    assert {e["stage"] for e in events if e["event"] == "metric" and e["name"] == "validation"} == {*STAGES}
    encoder = build_encoder(strong().encoder).requires_grad_(False)
    load_module(encoder, tmp_path / "whole/perceptual.safetensors")
    patches = normalize(load_tensors(tmp_path / "whole/unrelated.safetensors")[0]["full"].float())
    assert 50 < float(encoder.features(patches).std()) < 200, "100 over training patches"
    learned = [e["value"] for e in events if e.get("stage") == STAGES[0] and e.get("name") == "validation"]
    assert learned[-1] < 0.7 * learned[0]
    for stage in STAGES:
        for _ in range(2):
            seen = []

            def hear(event, seen=seen, stage=stage):
                if event["event"] == "metric" and event["stage"] == stage:
                    seen.append(event)

            with pytest.raises(Cancelled):
                cti.train(
                    strong(), tiny_source, tmp_path / "parts", on_event=hear,
                    should_stop=lambda seen=seen: len(seen) >= 2,
                )  # fmt: skip
    cti.train(strong(), tiny_source, tmp_path / "parts", on_event=lambda event: None)
    require_same(tmp_path / "whole", tmp_path / "parts")


def require_same(whole: Path, parts: Path) -> None:
    files = sorted(path.relative_to(whole) for path in whole.rglob("*.safetensors"))
    assert files == sorted(path.relative_to(parts) for path in parts.rglob("*.safetensors"))
    for file in files:
        ours, theirs = load_tensors(parts / file)[0], load_tensors(whole / file)[0]
        assert all(torch.equal(ours[name], value) for name, value in theirs.items()), file


# Saves at every step: the moments between which nothing is kept are then as short as they can be.
_TRAIN = """
import sys
import CTInvarianceLib as cti
from CTInvarianceLib.training import checkpoint
checkpoint._EVERY_S = 0.0
def hear(event):
    if event.get("stage") == sys.argv[4]:
        print(event["event"], flush=True)
cti.train(*sys.argv[1:4], on_event=hear)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_in_every_stage_a_training_ends_at_the_same_bits(tiny_source, tmp_path):
    settings = tmp_path / "strong.json"
    settings.write_text(json.dumps(strong().to_dict()))
    command = [sys.executable, "-c", _TRAIN, str(settings), str(tiny_source)]
    chance = random.Random(0)
    for stage in STAGES:
        with subprocess.Popen([*command, str(tmp_path / "parts"), stage], stdout=subprocess.PIPE) as process:
            assert process.stdout.readline(), "it ended before"
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
    subprocess.run([*command, str(tmp_path / "parts"), ""], check=True, capture_output=True, timeout=600)
    subprocess.run([*command, str(tmp_path / "whole"), ""], check=True, capture_output=True, timeout=600)
    require_same(tmp_path / "whole", tmp_path / "parts")


def test_moments_from_a_file_belong_to_the_weights_they_are_of(tmp_path):
    """Convolutions keep their weights channels last; an optimiser in one kernel goes through both as they lie there."""

    def made():
        torch.manual_seed(0)
        module = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return module, torch.optim.AdamW(module.parameters(), 0.01, fused=True)

    def steps(module, optimizer, numbers):
        for number in numbers:
            optimizer.zero_grad()
            x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(number))
            module(x).square().mean().backward()
            optimizer.step()

    whole, resumed = made(), made()
    steps(*whole, range(6))
    steps(*resumed, range(3))
    Checkpoint(tmp_path / "stage.safetensors", {"module": resumed}).save(3, now=True)
    again = made()
    assert Checkpoint(tmp_path / "stage.safetensors", {"module": again}).restore() == 3
    steps(*again, range(3, 6))
    assert torch.equal(again[0].weight, whole[0].weight)
