"""Words that mean a dose in descriptions and names, and words that mean it only where others do not stand beside them.

The namings are those of LDCT-and-Projection-data ("Low Dose Images"), of the AAPM challenge of 2016 (`L067_FD_1_1`,
`L067_QD_1_1`, `quarter_3mm_sharp_sorted`), and what people call their own copies (`p1_ldct`, `full_dose/p1`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_GAP = r"[\ _.-]*"
_PART = "(?:5|10|20|25|30|40|50|60|70|75|80)"  # percent
_SPOKEN = re.compile(
    rf"""(?: (?<![A-Za-z]) | (?<=[a-z])(?=[A-Z]) ) (?i:
    (?P<low> (?:ultra{_GAP})?(?:low|reduced|half|quarter|1/4|niedrig){_GAP}dos(?:e|is) | (?:u?l|q|r)dct(?![a-z])
        | (?<![\d.]){_PART}{_GAP}(?:%|pct|percent)?{_GAP}dose | dose{_GAP}{_PART}(?!\.?\d)
        | 0[.,_]\d+{_GAP}dose | dose{_GAP}0[.,_]\d+)
    | (?P<full> (?:full|normal|standard|routine|regular|high){_GAP}dos(?:e|is) | [fnsh]dct(?![a-z])
        | (?<![\d.])100{_GAP}(?:%|pct|percent)?{_GAP}dose | dose{_GAP}100(?!\.?\d) ))""",
    re.VERBOSE,
)
"""Words that mean a dose wherever they stand."""

_BOTH = re.compile(r"(?i)\b(?:low|full)(?:[ _-]*dose)?[ _]*(?:and|und|&|\+|/)[ _]*(?:low|full)")

_SHORT = {
    "qd": "low",
    "ld": "low",
    "quarter": "low",
    "low": "low",
    "fd": "full",
    "nd": "full",
    "full": "full",
}
"""Words of a name that mean a dose where they stand alone between its separators."""

_JOINED = re.compile(r"[A-Za-z]{1,4}\d{2,4}(FD|QD)\d?", re.IGNORECASE)
"""An id that ends in a dose, L067QD."""

_OTHER_MEANING = re.compile("body|spine|fov|field|neck|limb|res|resolution|contrast|kv|pitch|energy|pass")
"""What follows "full" or "low" where it is not the dose that is meant."""

WORD = re.compile(r"[^\W_]+")
KERNEL = re.compile(r"[bdhiqu]\d\d[a-z]|[bhqu][flrv]\d\d[a-z]?|sharp|smooth|soft|medium|bone|standard|lung")
BESIDE = re.compile(
    rf"\d+|\d*mm|x|ct|{KERNEL.pattern}|images?|imgs?|dicoms?|dcm|ima|data|dose|series|recon|sorted|scans?|slices?"
    r"|volumes?|kernel|axial|thin|thick|pct|percent"
)
"""Words of a name that tell neither dose nor patient."""


class Dose(NamedTuple):
    """A dose and the part of the text that says it."""

    dose: str
    start: int
    end: int


def dose_of(*descriptions: str) -> str:
    """What descriptions say of the dose: "low", "full", or "" where they say nothing; the first that tells counts.

    A description is free text, in which "low" and "full" alone mean anything ("Full body"): they count where nothing
    but thickness, kernel and the like stands beside them ("full 3mm sharp").
    """
    return next((dose for dose in map(_described, descriptions) if dose), "")


@lru_cache(maxsize=4096)
def _described(description: str) -> str:
    found = said(description)
    if found and (_SPOKEN.search(description) or _word(description, found) in ("qd", "fd", "ld")):
        return found.dose
    return found.dose if found and nothing_else(description, found) else ""


@lru_cache(maxsize=4096)
def dose_in_name(name: str, *, person: bool = False) -> str:
    """What the name of a file, a folder or a patient says of the dose: "low", "full", or "".

    Args:
        name: without its suffix.
        person: it is PatientName or PatientID. Names of people ("Low^Peter") say nothing.
    """
    found = said_of_person(name) if person else said(name)
    return found.dose if found else ""


def said(name: str) -> Dose | None:
    """The dose that a name says; None where it says none, or two."""
    spoken = [Dose(each.lastgroup or "", *each.span()) for each in _SPOKEN.finditer(name)]
    found = spoken or [
        Dose(_SHORT[word.group().casefold()], *word.span())
        for word, following in _with_next(name)
        if word.group().casefold() in _SHORT and not _OTHER_MEANING.fullmatch(following)
    ]
    doses = {each.dose for each in found}
    return found[0] if len(doses) == 1 and not _BOTH.search(name) else None


def said_of_person(name: str) -> Dose | None:
    """The same of PatientName or PatientID, in which a word that may be a name or an initial says nothing."""
    if joined := _JOINED.fullmatch(name.strip("^ ")):
        return Dose(_SHORT[joined[1].casefold()], *joined.span(1))
    found = said(name)
    if found is None or _SPOKEN.search(name):
        return found
    family, _, given = name.partition("^")
    is_code = re.search(r"\d" if given.strip("^ ") else r"[_\d]", family)
    may_begin = ("qd", "fd", "quarter", *(("full", "low") if name[found.end : found.end + 1] == "_" else ()))
    return found if is_code and (found.start or _word(name, found) in may_begin) else None


def _word(name: str, found: Dose) -> str:
    return name[found.start : found.end].casefold()


def nothing_else(name: str, found: Dose) -> bool:
    """Whether a name says the dose, and beside it neither patient nor anything else."""
    return all(map(BESIDE.fullmatch, words_of(f"{name[: found.start]} {name[found.end :]}")))


def words_of(name: str) -> list[str]:
    """The words of a name in lower case."""
    return WORD.findall(name.casefold())


def _with_next(name: str) -> Iterator[tuple[re.Match[str], str]]:
    """The words of a name from the last to the first, each with the one that follows."""
    following = ""
    for word in reversed(list(WORD.finditer(name))):
        yield word, following
        following = word.group().casefold()
