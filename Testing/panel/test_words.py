"""What the figures of a draw are said to mean."""

from __future__ import annotations

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from CTInvariancePanel import words


@pytest.mark.parametrize(
    ("r", "grade", "said"),
    [
        (-0.2, words.GOOD, "it is blind"),
        (0.05, words.GOOD, "look the same"),
        (0.2, words.DOUBTFUL, "nearly"),
        (0.3, words.BAD, "Do not interpret"),
        (1.1, words.BAD, "more training"),
    ],
)
def test_faithfulness_in_words(r, grade, said):
    found = words.verdict(r, floor=1, ceiling=10, std=30, embeddingError=8)
    assert found.grade == grade
    assert said in found.sentence
    assert not found.warning


def test_error_of_the_embedding_is_not_sold_as_invariance():
    assert "error of the method" in words.verdict(0.0, 1, 10, std=5, embeddingError=8).warning
    assert "R says little" in words.verdict(0.0, 6, 10, std=30, embeddingError=8).warning


def test_figures_of_a_slab_are_means():
    def part(scale):
        return {
            "consistency": {"mean": 0.1 * scale, "std": 0.01, "floor": 1.0, "ceiling": 9.0},
            "hu": {"std_mean": 20.0 * scale, "embedding_rmse": 8.0},
        }

    facts = words.figuresOf({"slices": [part(1), part(3)]})
    assert facts["R"] == pytest.approx(0.2)
    assert facts["std"] == pytest.approx(40)
    text = words.figures({key: str(value) for key, value in facts.items()})
    assert text == "R = 0.200 ± 0.010 (floor 1, ceiling 9) · spread 40.0 HU · embedding error 8.0 HU"
    assert words.verdictOf({key: str(value) for key, value in facts.items()}).grade == words.DOUBTFUL
