"""Text from files as a terminal may be given it: what it would obey instead of showing becomes visible."""

from __future__ import annotations

import unicodedata

_OBEYED = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of surrogate pairs, separators of lines
_TURNING = frozenset(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)  # the direction of what follows


def printable(text: object) -> str:
    r"""`text` in one line, with escape sequences and the like spelt out, as in ``\x1b[2J`` or ``\n``."""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(each) for each in text)


def _visible(character: str) -> str:
    if character in _TURNING or unicodedata.category(character) in _OBEYED:
        return character.encode("unicode_escape").decode("ascii")
    return character
