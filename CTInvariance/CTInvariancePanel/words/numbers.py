"""The numbers of a draw: from the worker's table to the nodes, and from the nodes into text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

PROPOSED = "proposed"
"""The fact that marks samples as the flow's proposals, which nothing has brought within the tolerance yet."""

_MEANS = (
    "tolerance",
    "tolerance_hu",
    "epsilon",
    "noise_hu",
    "spread",
    "proposed_spread",
    "closed_form",
    "moved_mean",
    "proposed_misfit",
    "misfit_mean",
    "change_rms",
    "change_95",
    "arrives",
    "noise_arrives",
    "passes",
    "noise_passes",
    "displaced_passes",
    "visibility",
)
_MOST = ("moved_max", "misfit_max", "change_max")
_SOURCE = "noise_from"


def figuresOf(table: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a draw that its nodes carry, from the library's table.

    Of several slices the mean, of what is a maximum the largest. A figure that a slice lacks is left out: the others
    do not speak for it.
    """
    slices = [part.get("invariance") or {} for part in table.get("slices") or [table]]
    found: dict[str, Any] = {}
    for key in (*_MEANS, *_MOST):
        values = [value for each in slices if (value := _finite(each.get(key))) is not None]
        if len(values) == len(slices):
            found[key] = max(values) if key in _MOST else sum(values) / len(values)
    sources = {each.get(_SOURCE) for each in slices}
    if len(sources) == 1 and isinstance(source := sources.pop(), str):
        found[_SOURCE] = source
    return found


def numberOf(facts: Mapping[str, str], key: str) -> float | None:
    """A number that a node carries; None where it carries none, or something else."""
    return _finite(facts.get(key))


def hu(value: float) -> str:
    """Hounsfield units as people say them: 2.8, 12."""
    return _("under 0.1") if value < 0.05 else short(value)


def short(value: float) -> str:
    """A positive number with as many digits as people read: 2.8, 12."""
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def rescans(tolerance: float) -> str:
    """A tolerance in words."""
    return _("1 rescan") if tolerance == 1 else _("{:g} rescans").format(tolerance)


_LINE = (
    (_("V = {:.2f} (passes {:.3g}, noise {:.3g})"), ("visibility", "passes", "noise_passes")),
    (_("displaced {:.3g}"), ("displaced_passes",)),
    (_("misfit {:.2f}, at most {:.2f}, proposed {:.2f}"), ("misfit_mean", "misfit_max", "proposed_misfit")),
    (_("moved by {:.1f} of {:.1f} HU"), ("moved_mean", "proposed_spread")),
    (_("denoised image changes by {:.1f} HU, at most {:.0f} HU"), ("change_rms", "change_max")),
    (_("noise {:.0f} HU"), ("noise_hu",)),
)
"""Text, and the figures in it; they have a meaning in the low-dose domain."""


def figures(facts: Mapping[str, str]) -> str:
    """Which draw it is, and in one line the figures that prove what is said of it; those that there are."""
    parts = [_nameOf(facts)]
    for text, keys in _LINE if facts.get("domain") != "full" else ():
        values = [numberOf(facts, key) for key in keys]
        if None not in values:
            parts.append(text.format(*values))
    return " · ".join(parts)


def _nameOf(facts: Mapping[str, str]) -> str:
    name = _("{} layer {}").format(facts.get("denoiser", "?"), facts.get("layer", "?"))
    tolerance = numberOf(facts, "tolerance")
    parts = [name, *([] if tolerance is None else [f"τ = {tolerance:g}"])]
    return ", ".join((*parts, _("without flow")) if facts.get("flow") == "false" else parts)


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
