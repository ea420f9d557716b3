"""How large and how small a setting may be, and why: so that a slip, or a file from elsewhere, costs no gigabytes."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..base import ConfigError
from .checking import shown


@dataclass(frozen=True)
class Within:
    """An annotation: `Annotated[int, Within(1, 9, "why")]` is at least 1 and at most 9; for lists, their elements.

    Attributes:
        least: inclusive.
        most: inclusive.
        why: what the bounds come from, as half a sentence.
    """

    least: float
    most: float
    why: str

    def check(self, value: float, where: str) -> None:
        """Raise ConfigError where a number lies outside."""
        if not self.least <= value <= self.most:
            raise ConfigError(
                f"{shown(value)} is not possible",
                where=where,
                hint=f"Give {self.least:g} to {self.most:g}: {self.why}.",
            )


@dataclass(frozen=True)
class AtMost:
    """An annotation of texts, lists and tables: no longer than that.

    Attributes:
        count: characters, or entries.
        why: see `Within`.
    """

    count: int
    why: str

    def check(self, value: Any, where: str) -> None:
        """Raise ConfigError where there is more."""
        if len(value) > self.count:
            raise ConfigError(
                f"{len(value)} are too many", where=where, hint=f"At most {self.count}: {self.why}."
            )


def check_bounds(values: Any, where: str) -> None:
    """Raise ConfigError for the first number of a dataclass, however deep, that is not finite or out of bounds."""
    kinds = typing.get_type_hints(type(values), include_extras=True)
    for each in dataclasses.fields(values):
        limits = getattr(kinds[each.name], "__metadata__", ())
        _check(getattr(values, each.name), limits, f"{where}, {each.name}")


def _check(value: Any, limits: tuple[Within | AtMost, ...], where: str) -> None:
    for limit in limits:
        if isinstance(limit, AtMost):
            limit.check(value, where)
    if dataclasses.is_dataclass(value):
        check_bounds(value, where)
    elif isinstance(value, (Mapping, tuple)):
        inside = tuple(limit for limit in limits if isinstance(limit, Within))
        for name, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            _check(part, inside, f"{where}, {shown(name)}")
    elif isinstance(value, (int, float)):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{value} is no number that can be used", where=where)
        for limit in limits:
            limit.check(value, where)
