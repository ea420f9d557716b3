"""What is left of a name without the dose: whose it is, at which kernel, and whether it is of anybody at all."""

from __future__ import annotations

import re
from functools import lru_cache

from .dose_words import BESIDE, KERNEL, WORD, nothing_else, said, said_of_person, words_of

_NOBODY = re.compile(
    r"anon[a-z]*|unknown|unbekannt|none|null|noname|nobody|deidentified|removed|redacted|hidden|x{2,}|0{2,}|na|nn"
)
_NO_NAME = re.compile(r"patient|name|id|no|not|de|identified|available|applicable|male|female|m|f|o")


def is_only_dose(name: str) -> bool:
    """Whether a name holds a dose and nothing that tells anything else, such as "quarter_1mm"."""
    found = said(name)
    return found is not None and nothing_else(name, found)


def says_little(name: str) -> bool:
    """Whether a name tells nothing but perhaps dose, kernel and thickness: none to call a patient by."""
    found = said(name)
    rest = f"{name[: found.start]} {name[found.end :]}" if found else name
    return all(BESIDE.fullmatch(word) and not word.isdigit() for word in words_of(rest))


@lru_cache(maxsize=4096)
def without_dose(name: str, *, person: bool = False) -> str:
    """Who a name names: the name without dose, and without kernel and thickness beside it; "" where nothing is left.

    "L067_FD_1_1" and "L067_quarter_3mm_sharp" are L067; what names no dose stays as it is.
    """
    found = said_of_person(name) if person else said(name)
    if found is None:
        return name
    before = _trimmed(name[: found.start])
    after = [
        word
        for word in WORD.findall(name[found.end :])
        if word.isdigit() or not BESIDE.fullmatch(word.casefold())
    ]
    # Numbers behind a patient's are those of the reconstruction; behind no more than a number, who knows.
    if re.search(r"\d", before) and (not before.isdigit() or all(map(str.isdigit, after))):
        return before
    return "_".join(filter(None, (before, *after)))


@lru_cache(maxsize=4096)
def kernel_beside_dose(name: str) -> str:
    """The kernel that a text names beside the dose, in lower case, such as "sharp"; "" without either."""
    found = said(name)
    rest = words_of(f"{name[: found.start]} {name[found.end :]}") if found else []
    return next(filter(KERNEL.fullmatch, rest), "")


@lru_cache(maxsize=4096)
def is_nobody(name: str) -> bool:
    """Whether a PatientID or PatientName stands for anybody: empty, "Anonymous", "000000" and the like."""
    words = words_of(name)
    others = [word for word in words if not _NOBODY.fullmatch(word)]
    return (
        not words
        or bool(_NOBODY.fullmatch("".join(words)))
        or (len(others) < len(words) and all(map(_NO_NAME.fullmatch, others)))
    )


def _trimmed(name: str) -> str:
    """Without separators, and without words at its end that tell nothing of the patient."""
    while True:
        name = name.strip(" _.-^")
        last = re.search(r"[^\W_]+$", name)
        if last is None or last.group().isdigit() or not BESIDE.fullmatch(last.group().casefold()):
            return name
        name = name[: last.start()]
