"""What the numbers of a draw mean, in a sentence that needs no statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slicer.i18n import tr as _

FAITHFUL, USABLE = 0.1, 0.3
"""R below which samples count as indistinguishable for the layer; R above which they do not count at all."""
GOOD, DOUBTFUL, BAD = "good", "doubtful", "bad"


@dataclass(frozen=True)
class Verdict:
    """How far samples may be believed.

    Attributes:
        grade: "good", "doubtful" or "bad".
        sentence: for people.
        warning: what is error of the method rather than invariance; empty where nothing is.
    """

    grade: str
    sentence: str
    warning: str


def verdict(consistency: float, floor: float, ceiling: float, std: float, embeddingError: float) -> Verdict:
    """Words for the figures of one draw.

    Args:
        consistency: mean R of the samples.
        floor: distance, in the layer's units, that the embedding alone causes.
        ceiling: distance of unrelated images.
        std: mean standard deviation of the samples, HU.
        embeddingError: root-mean-square error of the patch after embedding, HU.
    """
    return Verdict(*_faith(consistency), " ".join(_warnings(floor, ceiling, std, embeddingError)))


def _faith(r: float) -> tuple[str, str]:
    if r < FAITHFUL:
        return GOOD, _(
            "To this layer the samples look the same as the image: where they differ, it is blind."
        )
    if r < USABLE:
        return DOUBTFUL, _(
            "To this layer the samples look nearly the same as the image. Trust large differences only."
        )
    return BAD, _(
        "The layer can tell the samples from the image: their differences are not its invariances. "
        "Do not interpret them; the models need more training."
    )


def _warnings(floor: float, ceiling: float, std: float, embeddingError: float) -> list[str]:
    found = []
    if floor > 0.5 * ceiling:
        found.append(
            _(
                "The embedding loses most of what this layer sees, so R says little: the image is unlike those "
                "that it was trained on."
            )
        )
    if std < embeddingError:
        found.append(
            _(
                "The samples spread less ({:.0f} HU) than the embedding errs ({:.0f} HU): what they show may be error "
                "of the method rather than invariance."
            ).format(std, embeddingError)
        )
    return found


def figuresOf(table: dict[str, Any]) -> dict[str, float]:
    """The figures of a draw that its nodes carry, from the worker's table; of several slices the mean."""
    parts = table.get("slices") or [table]
    paths = {
        "R": ("consistency", "mean"),
        "RStd": ("consistency", "std"),
        "floor": ("consistency", "floor"),
        "ceiling": ("consistency", "ceiling"),
        "std": ("hu", "std_mean"),
        "embeddingError": ("hu", "embedding_rmse"),
    }
    return {
        key: sum(part[group][name] for part in parts) / len(parts) for key, (group, name) in paths.items()
    }


def verdictOf(facts: dict[str, str]) -> Verdict:
    """Words for the figures that a node carries."""
    return verdict(*(float(facts[key]) for key in ("R", "floor", "ceiling", "std", "embeddingError")))


def figures(facts: dict[str, str]) -> str:
    """R with its floor and ceiling, and the spread, in one line."""
    return _(
        "R = {:.3f} ± {:.3f} (floor {:.3g}, ceiling {:.3g}) · spread {:.1f} HU · embedding error {:.1f} HU"
    ).format(*(float(facts[key]) for key in ("R", "RStd", "floor", "ceiling", "std", "embeddingError")))
