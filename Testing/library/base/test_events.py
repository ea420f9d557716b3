"""Progress of a job made of stages, its time left, and its end."""

from __future__ import annotations

import pytest

from CTInvarianceLib.base import Cancelled, Reporter
from CTInvarianceLib.base import events as protocol


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(protocol.time, "monotonic", lambda: now[0])
    return now


def test_fractions_and_time_left_follow_the_work(clock):
    events = []
    report = Reporter(events.append, {"short": 1, "long": 3}, job="j")
    clock[0] += 5
    report.progress("short", 1.0)
    clock[0] += 5
    report.progress("long", 1 / 3)
    assert [e["fraction"] for e in events] == pytest.approx([0.25, 0.5])
    assert [e["eta_s"] for e in events] == pytest.approx([15, 10])
    assert all(e["job"] == "j" and e["event"] == "progress" for e in events)


def test_what_was_done_before_does_not_count_for_the_speed(clock):
    events = []
    report = Reporter(events.append, {"a": 1, "b": 1})
    report.skip("a")
    clock[0] += 4
    report.progress("b", 0.5)
    assert events[-1]["fraction"] == pytest.approx(0.75)
    assert events[-1]["eta_s"] == pytest.approx(4)


def test_speed_can_be_measured_anew(clock):
    events = []
    report = Reporter(events.append, {"reading": 1, "training": 9}, apart=["reading"])
    clock[0] += 1000
    report.progress("reading", 1.0)
    clock[0] += 3
    report.progress("training", 1 / 3)
    assert events[-1]["eta_s"] == pytest.approx(6)


def test_events_are_throttled_but_the_end_of_a_stage_is_not(clock):
    events = []
    report = Reporter(events.append, {"a": 1})
    for step in range(90):
        clock[0] += 0.001
        report.progress("a", step / 90)
    report.progress("a", 1.0)
    assert len(events) == 1
    assert events[0]["fraction"] == 1


def test_stopping_raises_at_the_next_step():
    report = Reporter(lambda e: None, {"a": 1}, should_stop=lambda: True)
    with pytest.raises(Cancelled):
        report.progress("a", 0.1)
