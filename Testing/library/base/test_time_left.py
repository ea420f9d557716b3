"""The time left of jobs whose stages take known times."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest

from CTInvarianceLib.base import Reporter, TimeLeft, events

TRAINING = {
    "data": 10.0,
    "embedding low": 2.0,
    "embedding full": 2.0,
    "denoiser chen": 29.0,
    "denoiser yang": 61.0,
    "conditions chen": 50.0,
    **{f"flow chen layer {layer} {domain}": 10.0 for layer in (1, 3, 5) for domain in ("low", "full")},
    "conditions yang": 110.0,
    **{f"flow yang layer {layer} {domain}": 10.0 for layer in (1, 4, 8) for domain in ("low", "full")},
}


def told(
    time_left: TimeLeft, seconds: dict[str, float], every: float = 0.5
) -> Iterator[tuple[float, float | None, float]]:
    """(time, what is shown, what is true) of stages that take these times, told twice a second."""
    now, end = 0.0, sum(seconds.values())
    for stage, takes in seconds.items():
        steps = max(1, round(takes / every))
        for step in range(1, steps + 1):
            now += takes / steps
            time_left.advance(stage, step / steps, takes / steps)
            yield now, time_left.at(now), end - now


def assert_calm(shown: list[tuple[float, float | None, float]]) -> None:
    """Not a jump by more than 1.5 times but at the very end, where it is a matter of seconds."""
    known = [(now, left) for now, left, _ in shown if left is not None]
    for (before, first), (now, second) in itertools.pairwise(known):
        expected = max(first - (now - before), 0)
        assert (expected + 3) / 1.5 < second + 3 < (expected + 3) * 1.5


@pytest.mark.parametrize("data_s", [2.0, 50.0, 400.0])
@pytest.mark.parametrize("speed", [0.1, 0.6, 1.0, 4.0])
def test_after_a_minute_it_is_right_within_a_third_whatever_the_data_take(speed, data_s):
    """The plan's stages are off by up to a fifth, the machine is measured within a fifth."""
    off = [1.2, 0.85, 1.1, 0.8]
    seconds = {stage: work * speed * off[k % 4] for k, (stage, work) in enumerate(TRAINING.items())}
    time_left = TimeLeft(TRAINING, apart=["data"])
    time_left.expect(speed * 0.85)
    time_left.plan("data", data_s * 0.8)
    shown = list(told(time_left, seconds | {"data": data_s}))
    for now, left, true in shown:
        if now > min(60.0, shown[-1][0] / 3):
            assert left == pytest.approx(true, rel=0.3, abs=5), f"after {now:.0f} s"
    assert_calm(shown)


def test_a_stage_that_takes_four_times_as_long_is_noticed_without_a_jump():
    seconds = {stage: work * (4 if stage.startswith("conditions") else 1) for stage, work in TRAINING.items()}
    time_left = TimeLeft(TRAINING, apart=["data"])
    time_left.expect(1.0)
    shown = list(told(time_left, seconds))
    begins = sum(list(seconds.values())[:5])
    for now, left, true in shown:
        if now > begins + 60:
            assert left == pytest.approx(true, rel=0.3, abs=5), f"after {now:.0f} s"
    assert_calm(shown)


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_a_stage_of_days_that_takes_another_time_than_expected_is_noticed_within_a_minute(speed):
    time_left = TimeLeft({"embedding low": 4e5, "embedding full": 4e5})
    time_left.expect(1.0)
    done = 0.0
    for now in range(1, 120):
        done = now / (4e5 * speed)
        time_left.advance("embedding low", done, 1.0)
        left = time_left.at(float(now))
        if now > 60:
            assert left == pytest.approx((2 - done) * 4e5 * speed, rel=0.3), now


def test_what_is_slow_to_read_makes_the_rest_no_slower():
    time_left = TimeLeft({"data": 10, "training": 100}, apart=["data"])
    time_left.expect(1.0)
    shown = [left for _, left, _ in told(time_left, {"data": 600.0})]
    assert min(shown) > 95
    assert max(shown) < 710
    assert shown[-1] == pytest.approx(100, rel=0.1)


def test_a_short_first_stage_does_not_tell_the_rest():
    """Nothing but copying in the first stages: today's complete embedding."""
    time_left = TimeLeft({"embedding": 2, "denoiser": 200})
    time_left.expect(1.0)
    shown = list(told(time_left, {"embedding": 0.01, "denoiser": 200.0}))
    assert all(left == pytest.approx(true, rel=0.3) for now, left, true in shown if true > 20)


def test_without_any_expectation_nothing_is_told_until_something_is_measured():
    time_left = TimeLeft({"data": 1, "training": 9}, apart=["data"])
    time_left.advance("data", 1.0, 100)
    assert time_left.at(100) is None
    time_left.advance("training", 0.1, 2)
    assert time_left.at(102) == pytest.approx(18)


def test_what_an_earlier_run_did_takes_no_time():
    time_left = TimeLeft({"a": 10, "b": 10, "c": 10})
    time_left.skip("a", 1.0)
    time_left.skip("b", 0.5)
    time_left.advance("b", 0.75, 5)
    assert time_left.at(5) == pytest.approx(5 + 20)
    assert time_left.fraction == pytest.approx(17.5 / 30)


def test_it_ends_at_nothing_and_the_fraction_never_falls():
    time_left = TimeLeft(TRAINING, apart=["data"])
    time_left.advance("data", 0.05, 1)
    before = time_left.fraction
    time_left.plan("data", 0.1)
    assert time_left.fraction == before
    for stage in TRAINING:
        time_left.advance(stage, 1.0, 1)
    assert time_left.at(20) == 0
    assert time_left.fraction == 1


def test_the_reporter_tells_it(monkeypatch):
    now, heard = [0.0], []
    monkeypatch.setattr(events.time, "monotonic", lambda: now[0])
    report = Reporter(heard.append, {"data": 1, "training": 9}, apart=["data"])
    report.time_left.expect(2.0)
    now[0] = 30
    report.progress("data", 1.0)
    assert heard[-1]["eta_s"] == pytest.approx(18)
    now[0] = 36
    report.progress("training", 1 / 3)
    assert heard[-1]["eta_s"] == pytest.approx(12, rel=0.01)
    assert math.isclose(heard[-1]["fraction"], 0.4)
