"""How far the samples of a draw may be believed, in sentences and a colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slicer.i18n import tr as _

from .numbers import PROPOSED, hu, numberOf, rescans, short

GOOD, DOUBTFUL, BAD, OPEN = "good", "doubtful", "bad", "open"

WITHIN = 1.1
"""Misfit, in tolerances, up to which a sample counts as within it: conjugate gradients stop a little early."""
FAR = 1 / 3
"""Share of the spread that the correction may take on average before the flow counts as not good enough."""
WILD = 1.5
"""Misfit of the proposals, in tolerances, above which the flow counts as not good enough."""
ALIKE = 0.5
"""Share of the closed form's spread below which samples are too alike."""
VISIBLE = 0.9
"""V from which on the layer hides no more than noise."""

_NEEDED = ("tolerance_hu", "spread", "arrives", "misfit_max", "moved_mean", "proposed_misfit")


@dataclass(frozen=True)
class Verdict:
    """How far samples may be believed.

    Attributes:
        grade: "good", "doubtful", "bad", or "open" where nothing is claimed.
        sentence: for people.
        warning: what is error of the method rather than invariance; empty where nothing is.
        advice: how to know better; empty where there is nothing to add.
    """

    grade: str
    sentence: str
    warning: str = ""
    advice: str = ""


def verdictOf(facts: Mapping[str, str]) -> Verdict:
    """Words for what a node says of its draw; nothing is taken for good that its figures do not show."""
    tolerance = numberOf(facts, "tolerance")
    if tolerance is None:
        return Verdict(
            DOUBTFUL,
            _(
                "These samples were made by an earlier version, which did not hold samples to a tolerance: "
                "sample again."
            ),
        )
    if PROPOSED in facts:
        return Verdict(
            OPEN,
            _(
                "These are the flow's proposals. They have not been brought within the tolerance of {} yet, nor "
                "been measured."
            ).format(rescans(tolerance)),
        )
    figures = {key: value for key in _NEEDED if (value := numberOf(facts, key)) is not None}
    if facts.get("domain") == "full":
        return _fullDose(figures.get("spread"), _several(facts))
    if len(figures) < len(_NEEDED):
        return Verdict(OPEN, _("These samples have not been measured to the end: sample again."))
    return _lowDose(tolerance, figures, facts)


def _fullDose(spread: float | None, several: bool) -> Verdict:
    sentence = _("The samples are full-dose images that may have been behind this low-dose image.")
    if spread is not None and several:
        sentence += " " + _("They differ by {} HU.").format(hu(spread))
    return Verdict(
        OPEN,
        sentence,
        advice=_(
            "The denoiser sees the low dose, so nothing holds these images to what the layer has seen, and no "
            "tolerance is promised. How good they are shows in comparison with real full-dose images."
        ),
    )


def _lowDose(tolerance: float, figures: Mapping[str, float], facts: Mapping[str, str]) -> Verdict:
    flow, advice = _flowError(figures, numberOf(facts, "closed_form") or 0.0, _several(facts)), _advice(facts)
    if figures["misfit_max"] > WITHIN:
        return Verdict(
            BAD,
            _(
                "The layer can tell some samples from the image: the farthest lies {} tolerances away, a "
                "tolerance being {}. Their differences are not its invariances: do not interpret them. Sample "
                "with a larger tolerance, or train the models longer."
            ).format(short(figures["misfit_max"]), rescans(tolerance)),
            flow,
            advice,
        )
    if not _several(facts):
        sentence = _(
            "This one sample lies within the tolerance of {} ({} HU in the denoised image). How far such "
            "images differ shows when there are more."
        ).format(rescans(tolerance), hu(figures["tolerance_hu"]))
        return Verdict(DOUBTFUL if flow else OPEN, sentence, flow, advice)
    return Verdict(DOUBTFUL if flow else GOOD, _difference(tolerance, figures, facts), flow, advice)


def _difference(tolerance: float, figures: Mapping[str, float], facts: Mapping[str, str]) -> str:
    parts = [
        _(
            "At a tolerance of {} ({} HU in the denoised image) the samples differ by {} HU; {} HU of that "
            "arrives there."
        ).format(rescans(tolerance), *(hu(figures[key]) for key in ("tolerance_hu", "spread", "arrives")))
    ]
    noise, visibility = numberOf(facts, "noise_arrives"), numberOf(facts, "visibility")
    if noise is not None:
        parts.append(_("Of noise as strong, {} HU would.").format(hu(noise)))
    if visibility is not None and visibility >= VISIBLE:
        parts.append(_("Up to this layer, the denoiser hides no more than noise here."))
    return " ".join(parts)


def _flowError(figures: Mapping[str, float], expected: float, several: bool) -> str:
    spread, moved, proposed = (figures[key] for key in ("spread", "moved_mean", "proposed_misfit"))
    if proposed > WILD or (several and moved > FAR * spread):
        return _(
            "Flow or embedding are not good enough here: the proposals lay {} tolerances away, and had to be moved "
            "by {} HU. Part of what the samples show is that correction."
        ).format(short(proposed), hu(moved))
    if several and spread < max(ALIKE * expected, 0.05):
        return _(
            "The samples are too much alike: they differ by {} HU, where noise alone could differ by {} HU within the "
            "tolerance. The flow does not propose all that the layer may ignore."
        ).format(hu(spread), hu(expected))
    return ""


def _advice(facts: Mapping[str, str]) -> str:
    if facts.get("noise_from") != "image":
        return ""
    return _(
        "The noise that the tolerance is counted in was estimated from this image alone. Better: choose the "
        "full-dose volume of the same scan above."
    )


def _several(facts: Mapping[str, str]) -> bool:
    return numberOf(facts, "n") != 1
