"""What becomes of a draw between its proposals and its figures; the worker's answers are written by hand here."""

from __future__ import annotations

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
import mrml  # noqa: E402
from CTInvariancePanel import words  # noqa: E402
from CTInvariancePanel.jobs import Scratch  # noqa: E402
from CTInvariancePanel.nodes import Patch, factsOf  # noqa: E402
from CTInvariancePanel.sampling import Sampling  # noqa: E402
from CTInvariancePanel.steps import runAll  # noqa: E402

from CTInvarianceLib.config import Question  # noqa: E402

N, PATCH = 6, Patch(2, 7, 9, 16, 20)
TABLE = {
    "invariance": {
        "tolerance": 0.5,
        "tolerance_hu": 2.9,
        "spread": 9.0,
        "arrives": 2.8,
        "moved_mean": 1.0,
        "moved_max": 2.0,
        "proposed_misfit": 1.2,
        "misfit_mean": 0.9,
        "misfit_max": 1.0,
        "visibility": None,
    }
}


def write(folder, seed, *more):
    array = np.random.default_rng(seed).normal(40, 20, (N, *PATCH.shape)).astype(np.float32)
    folder.mkdir()
    for name, values in (("samples", array), ("mean", array.mean(0)), ("std", array.std(0))):
        np.save(folder / f"{name}.npy", values)
    for name in more:
        np.save(folder / f"{name}.npy", array[0])
    return array


class Draw:
    """One draw, its folders, and what the worker would say of them."""

    def __init__(self, node, folder, domain="low"):
        question = Question("yang", "8", N, domain)
        self.sampling = Sampling(Scratch(folder), node, PATCH, question, folder, question.to_dict())
        self.proposed = write(folder / "out", 0, "denoised", "patch")
        self.corrected = write(folder / "out" / "corrected", 1)
        self.out = str(folder / "out")

    def ready(self):
        return self.sampling.show({"out": self.out})

    def result(self, where="corrected"):
        out = f"{self.out}/{where}" if where else self.out
        return self.sampling.finish({"out": out, "table": TABLE})


@pytest.fixture
def draw(node, tmp_path):
    return Draw(node, tmp_path)


def shown(nodes):
    return np.stack([mrml.values(nodes.sequence.GetNthDataNode(k)) for k in range(N)])


def test_proposals_are_shown_as_such_and_then_replaced(draw):
    nodes = runAll(draw.ready())
    np.testing.assert_array_equal(shown(nodes), draw.proposed)
    assert words.PROPOSED in factsOf(nodes.browser)
    assert words.PROPOSED in factsOf(nodes.mean)
    assert words.PROPOSED not in factsOf(nodes.denoised)
    assert factsOf(nodes.browser)["tolerance"] == "0.5"
    assert runAll(draw.result()) is nodes
    np.testing.assert_array_equal(shown(nodes), draw.corrected)
    np.testing.assert_array_equal(mrml.values(nodes.mean), draw.corrected.mean(0))
    for node in (nodes.sequence, nodes.browser, nodes.mean, nodes.std):
        facts = factsOf(node)
        assert words.PROPOSED not in facts
        assert facts["misfit_max"] == "1.0"
        assert "visibility" not in facts
    assert words.PROPOSED not in factsOf(nodes.sample)
    assert words.verdictOf(factsOf(nodes.browser)).grade == words.GOOD


def test_the_same_folder_means_that_nothing_has_changed(draw):
    nodes = runAll(draw.ready())
    runAll(draw.result(where=""))
    np.testing.assert_array_equal(shown(nodes), draw.proposed)
    assert words.PROPOSED not in factsOf(nodes.browser)
    assert words.PROPOSED not in factsOf(nodes.sequence.GetNthDataNode(0))


def test_a_result_without_anything_before_is_shown_as_it_is(draw):
    nodes = runAll(draw.result())
    np.testing.assert_array_equal(shown(nodes), draw.corrected)
    assert words.PROPOSED not in factsOf(nodes.browser)
    assert factsOf(nodes.browser)["spread"] == "9.0"


def test_full_dose_samples_are_no_proposals(node, tmp_path):
    draw = Draw(node, tmp_path, "full")
    nodes = runAll(draw.ready())
    assert words.PROPOSED not in factsOf(nodes.browser)
    runAll(draw.result(where=""))
    assert words.verdictOf(factsOf(nodes.browser)).grade == words.OPEN


def test_giving_up_leaves_either_proposals_or_samples(node, tmp_path):
    """Cancelled wherever it may be, a draw is whole: all of it corrected and measured once that has begun."""
    probe = Draw(node, tmp_path)
    runAll(probe.ready())
    total = sum(1 for _ in probe.result())
    for stop in range(1, total):
        draw = Draw(node, _folder(tmp_path, stop))
        nodes = runAll(draw.ready())
        work = draw.result()
        for _ in range(stop):
            next(work)
        work.close()
        np.testing.assert_array_equal(shown(nodes), draw.corrected)
        assert words.verdictOf(factsOf(nodes.browser)).grade == words.GOOD


def _folder(parent, number):
    folder = parent / f"{number}"
    folder.mkdir()
    return folder
