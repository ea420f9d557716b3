"""What the figures of a draw are said to mean."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from CTInvariancePanel import words

INVARIANCE = {
    "tolerance": 0.5,
    "tolerance_hu": 2.9,
    "epsilon": 0.006,
    "noise_hu": 27.0,
    "noise_from": "partner",
    "spread": 9.0,
    "proposed_spread": 10.0,
    "closed_form": 8.0,
    "moved_mean": 1.0,
    "moved_max": 2.0,
    "proposed_misfit": 1.2,
    "misfit_mean": 0.95,
    "misfit_max": 1.0,
    "change_rms": 2.8,
    "change_95": 5.6,
    "change_max": 14.0,
    "arrives": 2.8,
    "noise_arrives": 3.4,
    "passes": 0.31,
    "noise_passes": 0.38,
    "displaced_passes": 0.36,
    "visibility": 0.82,
}


def facts_of(*slices, domain="low", n=12, **more):
    """What the nodes of a draw carry, as text, after its table."""
    parts = [{"invariance": each} for each in slices or (INVARIANCE,)]
    table = {"slices": parts} if len(parts) > 1 else parts[0]
    found = {"denoiser": "yang", "layer": "4", "domain": domain, "n": n, **words.figuresOf(table), **more}
    return {key: str(value) for key, value in found.items()}


def with_(**changes):
    return {**INVARIANCE, **changes}


def test_a_good_draw_says_what_differs_and_what_arrives():
    found = words.verdictOf(facts_of())
    assert found == words.Verdict(
        words.GOOD,
        "At a tolerance of 0.5 rescans (2.9 HU in the denoised image) the samples differ by 9.0 HU; 2.8 HU of "
        "that arrives there. Of noise as strong, 3.4 HU would.",
    )
    assert "of 1 rescan (" in words.verdictOf(facts_of(with_(tolerance=1.0))).sentence


@pytest.mark.parametrize(
    ("changes", "grade", "said"),
    [
        ({"misfit_max": 1.11}, words.BAD, "can tell some samples from the image: the farthest lies 1.1"),
        ({"misfit_max": 7.3, "misfit_mean": 0.9}, words.BAD, "7.3 tolerances away"),
        ({"misfit_max": 2.0, "proposed_misfit": 3.0}, words.BAD, "do not interpret them"),
        ({"moved_mean": 3.1}, words.DOUBTFUL, "differ by 9.0 HU"),
        ({"proposed_misfit": 1.6}, words.DOUBTFUL, "differ by 9.0 HU"),
        ({"spread": 0.0, "moved_mean": 0.0, "arrives": 0.0}, words.DOUBTFUL, "differ by under 0.1 HU"),
        ({"spread": 3.9, "moved_mean": 0.1}, words.DOUBTFUL, "3.9 HU"),
    ],
)
def test_what_is_wrong_is_not_green(changes, grade, said):
    found = words.verdictOf(facts_of(with_(**changes)))
    assert found.grade == grade
    assert said in found.sentence
    if grade == words.DOUBTFUL:
        assert found.warning


@pytest.mark.parametrize("key", words.verdict._NEEDED)
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "", "broken"])
def test_a_figure_that_is_missing_or_no_number_is_never_taken_for_good(key, value):
    for facts in (facts_of(with_(**{key: value})), {**facts_of(), key: str(value)}):
        found = words.verdictOf(facts)
        assert found.grade == words.OPEN
        assert "not been measured to the end" in found.sentence


@pytest.mark.parametrize("key", ["misfit_max", "moved_mean", "spread"])
def test_one_slice_without_a_figure_spoils_the_slab(key):
    assert words.verdictOf(facts_of(INVARIANCE, with_(**{key: None}))).grade == words.OPEN


def test_one_bad_slice_spoils_the_slab():
    facts = facts_of(INVARIANCE, INVARIANCE, with_(misfit_max=1.2))
    assert words.verdictOf(facts).grade == words.BAD


def test_the_flow_is_blamed_with_what_was_corrected():
    found = words.verdictOf(facts_of(with_(proposed_misfit=4.2, moved_mean=6.0)))
    assert found.grade == words.DOUBTFUL
    assert "Flow or embedding are not good enough here" in found.warning
    assert "4.2 tolerances away, and had to be moved by 6.0 HU" in found.warning
    assert words.verdictOf(facts_of(with_(moved_mean=2.9))).grade == words.GOOD  # a third is 3


def test_hiding_no_more_than_noise_is_said_and_no_error():
    found = words.verdictOf(facts_of(with_(visibility=0.93)))
    assert found.grade == words.GOOD
    assert "hides no more than noise" in found.sentence
    assert "hides no more" not in words.verdictOf(facts_of(with_(visibility=0.89))).sentence


def test_figures_that_may_be_null_are_left_out_of_the_sentence():
    found = words.verdictOf(facts_of(with_(visibility=None, noise_arrives=None, passes=None)))
    assert found.grade == words.GOOD
    assert "Of noise" not in found.sentence


def test_noise_from_the_image_alone_is_named_with_the_better_way():
    found = words.verdictOf(facts_of(with_(noise_from="image")))
    assert found.grade == words.GOOD
    assert "estimated from this image alone" in found.advice
    assert "full-dose volume" in found.advice
    assert not words.verdictOf(facts_of(with_(noise_from="simulation"))).advice


def test_in_the_full_dose_domain_nothing_is_claimed():
    lacking = dict.fromkeys(("proposed_misfit", "misfit_mean", "misfit_max"))
    for changes in (lacking, {}, {"misfit_max": 0.1}):
        found = words.verdictOf(facts_of(with_(**changes), domain="full"))
        assert found.grade == words.OPEN
        assert "full-dose images that may have been behind this low-dose image" in found.sentence
        assert "differ by 9.0 HU" in found.sentence
        assert "nothing holds these images" in found.advice
        assert "no tolerance is promised" in found.advice
    assert words.figures(facts_of(domain="full")) == "yang layer 4, τ = 0.5"


def test_one_sample_alone_has_no_spread():
    one = with_(spread=0.0, arrives=0.0, passes=None, visibility=None, noise_arrives=0.0)
    found = words.verdictOf(facts_of(one, n=1))
    assert found.grade == words.OPEN
    assert "This one sample lies within" in found.sentence
    assert words.verdictOf(facts_of({**one, "proposed_misfit": 2.0}, n=1)).grade == words.DOUBTFUL
    assert words.verdictOf(facts_of({**one, "misfit_max": 2.0}, n=1)).grade == words.BAD


def test_proposals_are_called_so():
    found = words.verdictOf(facts_of(proposed="true"))  # whatever figures they carry
    assert found.grade == words.OPEN
    assert "the flow's proposals" in found.sentence
    assert "tolerance of 0.5 rescans" in found.sentence


def test_draws_of_earlier_versions_are_told():
    old = {"denoiser": "yang", "layer": "4", "domain": "low", "n": "250", "seed": "0"}
    for facts in (old, {**old, "R": "0.01", "RStd": "0", "floor": "1", "ceiling": "9", "std": "20"}):
        found = words.verdictOf(facts)
        assert found.grade == words.DOUBTFUL
        assert "earlier version" in found.sentence
        assert "sample again" in found.sentence
        assert words.figures(facts) == "yang layer 4"
    assert words.figuresOf({"consistency": {"mean": 0.1}, "hu": {"std_mean": 3.0}}) == {}
    assert words.figuresOf({"slices": [{"slice": 3}, {"slice": 4}]}) == {}


def test_figures_of_a_slab_are_means_and_maxima():
    found = words.figuresOf(
        {
            "slices": [
                {"invariance": INVARIANCE},
                {
                    "invariance": with_(
                        spread=11.0, misfit_max=1.4, change_max=30.0, moved_max=1.0, passes=None
                    )
                },
            ]
        }
    )
    assert found["spread"] == pytest.approx(10)
    assert (found["misfit_max"], found["change_max"], found["moved_max"]) == (1.4, 30, 2)
    assert found["tolerance"] == 0.5
    assert found["noise_from"] == "partner"
    assert "passes" not in found
    assert set(words.figuresOf({"invariance": INVARIANCE})) == set(INVARIANCE)


def test_the_figures_stand_in_one_line():
    assert words.figures(facts_of()) == (
        "yang layer 4, τ = 0.5 · V = 0.82 (passes 0.31, noise 0.38) · displaced 0.36 · misfit 0.95, at most 1.00, "
        "proposed 1.20 · moved by 1.0 of 10.0 HU · denoised image changes by 2.8 HU, at most 14 HU · noise 27 HU"
    )
    assert "displaced" not in words.figures(facts_of(with_(displaced_passes=None)))


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "under 0.1"), (0.049, "under 0.1"), (0.05, "0.1"), (9.94, "9.9"), (9.96, "10")]
)
def test_hounsfield_units_as_people_say_them(value, text):
    assert words.numbers.hu(value) == text


def test_no_sentence_rests_on_r():
    facts = facts_of(R="0.01", floor="1", ceiling="9")
    assert words.verdictOf(facts) == words.verdictOf(facts_of())
    assert "R =" not in words.figures(facts)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (5, "under a minute"),
        (70, "1 minute"),
        (720, "12 minutes"),
        (2 * 3600, "2.0 hours"),
        (20 * 3600, "20 hours"),
        (5 * 86400, "5.0 days"),
    ],
)
def test_durations(seconds, said):
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"), [(10, "under 1 MB"), (84e6, "84 MB"), (1.23e9, "1.2 GB"), (41e9, "41 GB")]
)
def test_bytes(count, said):
    assert words.size(count) == said
