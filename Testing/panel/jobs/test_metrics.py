"""The figures of a training, read from its log while it is written."""

from __future__ import annotations

import itertools
import json

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")


@pytest.fixture
def log(tmp_path):
    """A log that does not exist yet, what follows it, and a way to write to it."""
    from CTInvariancePanel.jobs import MetricsLog

    path = tmp_path / "log.jsonl"

    def write(*events, end="\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(each if isinstance(each, str) else json.dumps(each) + end for each in events))

    return MetricsLog(path), write


def metric(step, value, name="loss", stage="denoiser ä"):
    return {"event": "metric", "stage": stage, "step": step, "name": name, "value": value}


def test_figures_come_as_they_are_written(log):
    metrics, write = log
    assert not metrics.read()
    assert metrics.curves("denoiser ä") == {}
    write(metric(0, 3.0), metric(0, 9.0, "rmse_hu"), metric(20, 2.0), {"event": "started"})
    metrics.read()
    assert metrics.curves("denoiser ä") == {"loss": ([0, 20], [3.0, 2.0]), "rmse_hu": ([0], [9.0])}
    assert metrics.curves("another") == {}
    write(metric(40, 1.0), end="")
    metrics.read()
    assert metrics.curves("denoiser ä")["loss"][0] == [0, 20], "half a line says nothing yet"
    write("\n")
    metrics.read()
    assert metrics.curves("denoiser ä")["loss"] == ([0, 20, 40], [3.0, 2.0, 1.0])


def test_what_was_done_twice_counts_once(log):
    metrics, write = log
    write(metric(0, 3.0), metric(20, 2.0), metric(40, 1.5), metric(20, 2.5))
    metrics.read()
    assert metrics.curves("denoiser ä")["loss"] == ([0, 20, 40], [3.0, 2.5, 1.5])


def test_lines_that_say_nothing_are_passed_over(log):
    metrics, write = log
    write(metric(0, None), '{"event": "met\n', "[1]\n", "3\n", metric("x", 1.0), metric(5, 1.0))
    metrics.read()
    assert metrics.curves("denoiser ä")["loss"] == ([5], [1.0])


def test_long_logs_are_read_in_pieces_and_thinned_from_end_to_end(log):
    metrics, write = log
    write(*(metric(step, step / 2) for step in range(0, 60_000, 20)))
    pieces = 1
    while metrics.read():
        pieces += 1
    assert pieces > 2
    steps, values = metrics.curves("denoiser ä")["loss"]
    assert len(steps) == 500
    assert (steps[0], steps[-1]) == (0, 59_980)
    assert values == [step / 2 for step in steps]
    assert max(b - a for a, b in itertools.pairwise(steps)) <= 140, "evenly"
