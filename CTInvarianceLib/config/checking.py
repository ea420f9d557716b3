"""Plain values, as JSON and TOML have them, to annotated dataclasses; what does not fit is named with its place.

The checking is pydantic's, strict: 3 may be a float, but "3" and true are no int. It is imported when something is to
be checked: a panel whose packages are not installed yet can still be opened.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..base import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

T = TypeVar("T")

_KINDS = {"string": "str", "bool": "bool", "int": "int", "float": "float", "tuple": "list", "dict": "table"}


class Plain:
    """Base of dataclasses that are made of plain values: nothing is converted, and nothing unknown let through."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "strict": True}


def from_plain(kind: type[T], values: Any, where: str) -> T:
    """`values`, as JSON or TOML have them, as an instance of a dataclass.

    Args:
        kind: a dataclass on `Plain`.
        values: a mapping of its fields.
        where: what to call them in messages.

    Raises:
        ConfigError: a field that is missing, unknown, or of another type.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(json.dumps(values))
    except ValidationError as error:
        raise _first(error.errors(include_url=False), kind, where) from None
    except RecursionError:
        raise ConfigError("tables or lists within each other without end", where=where) from None
    except TypeError as error:  # TOML knows dates
        raise ConfigError(f"a value that is no number, text, list or table ({error})", where=where) from error


def _first(errors: list[ErrorDetails], kind: Any, where: str) -> ConfigError:
    """The error that is to be mended first: a mistyped name makes others."""
    error = next((each for each in errors if each["type"] == "unexpected_keyword_argument"), errors[0])
    loc, value = error["loc"], shown(error["input"])
    *above, name = ("", *map(str, loc))
    container = ", ".join([where, *above[1:]])
    if error["type"] == "unexpected_keyword_argument":
        return ConfigError(f"no setting named {name}", where=container, hint=_known(kind, loc[:-1], name))
    if error["type"] == "missing":
        return ConfigError(f"{name} is missing", where=container)
    place = ", ".join([where, *map(str, loc)])
    if error["type"] == "literal_error":
        expected = error["ctx"]["expected"]
        return ConfigError(f"{value} is not possible", where=place, hint=f"Choose one of {expected}.")
    if error["type"] == "dataclass_type":
        return ConfigError(f"{value} is not a table of settings", where=place)
    expected = _KINDS.get(error["type"].partition("_")[0])
    return ConfigError(f"{value} is not a {expected}" if expected else error["msg"], where=place)


def shown(value: Any) -> str:
    """A value as a message has room for it."""
    text = (
        repr(value)
        if not isinstance(value, int) or abs(value) < 10**20
        else "a number of more than 20 digits"
    )
    return text if len(text) <= 80 else f"{text[:80]}…"


def _known(kind: Any, loc: tuple[int | str, ...], name: str) -> str:
    """Which names there are where one is unknown, the nearest first."""
    *_, table = _along(kind, loc)
    names = [each.name for each in dataclasses.fields(table)]
    nearest = get_close_matches(name, names, n=1)
    return f"{f'Did you mean {nearest[0]}? ' if nearest else ''}There are {', '.join(names)}."


def _along(kind: Any, loc: tuple[int | str, ...]) -> Iterator[Any]:
    """The annotated types on the way to a place: of fields, and of what tables and lists hold."""
    yield kind
    for step in loc:
        if dataclasses.is_dataclass(kind):
            kind = typing.get_type_hints(kind)[str(step)]
        else:
            kind = typing.get_args(kind)[-1 if typing.get_origin(kind) is dict else 0]
        yield kind
