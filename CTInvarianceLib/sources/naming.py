"""What names and descriptions say: which dose, which reconstruction, and of whom.

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
        | {_PART}{_GAP}(?:%|pct|percent){_GAP}dose | dose{_GAP}{_PART}(?!\.?\d))
    | (?P<full> (?:full|normal|standard|routine|regular|high){_GAP}dos(?:e|is) | [fnsh]dct(?![a-z])
        | 100{_GAP}(?:%|pct|percent){_GAP}dose | dose{_GAP}100(?!\.?\d) ))""",
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

_OTHER_MEANING = re.compile(
    "body|spine|fov|field|neck|limb|res|resolution|contrast|scan|kv|pitch|energy|pass"
)
"""What follows "full" or "low" where it is not the dose that is meant."""

_WORD = re.compile(r"[^\W_]+")
_KERNEL = re.compile(r"[bdhiqu]\d\d[a-z]|[bhqu][flrv]\d\d[a-z]?|sharp|smooth|soft|medium|bone|standard|lung")
_BESIDE = re.compile(
    rf"\d+|\d*mm|x|ct|{_KERNEL.pattern}|images?|imgs?|dicoms?|dcm|ima|data|dose|series|recon|sorted|scans?|slices?"
    r"|volumes?|kernel|axial|thin|thick|\d+%|pct|percent"
)
"""Words of a name that tell neither dose nor patient."""

_NOBODY = re.compile(
    r"anon[a-z]*|unknown|unbekannt|none|null|noname|nobody|deidentified|removed|redacted|hidden|x{2,}|0{2,}|na|nn"
)
_NO_NAME = re.compile(r"patient|name|id|no|not|de|identified|available|applicable|male|female|m|f|o")


class _Dose(NamedTuple):
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
    found = _said(description)
    if found and (_SPOKEN.search(description) or _word(description, found) in ("qd", "fd", "ld")):
        return found.dose
    return found.dose if found and _nothing_else(description, found) else ""


@lru_cache(maxsize=4096)
def dose_in_name(name: str, *, person: bool = False) -> str:
    """What the name of a file, a folder or a patient says of the dose: "low", "full", or "".

    Args:
        name: without its suffix.
        person: it is PatientName or PatientID. Names of people ("Low^Peter") say nothing.
    """
    found = _said_of_person(name) if person else _said(name)
    return found.dose if found else ""


def is_only_dose(name: str) -> bool:
    """Whether a name holds a dose and nothing that tells anything else, such as "quarter_1mm"."""
    found = _said(name)
    return found is not None and _nothing_else(name, found)


def says_little(name: str) -> bool:
    """Whether a name tells nothing but perhaps dose, kernel and thickness: none to call a patient by."""
    found = _said(name)
    rest = f"{name[: found.start]} {name[found.end :]}" if found else name
    return all(_BESIDE.fullmatch(word) and not word.isdigit() for word in _words(rest))


@lru_cache(maxsize=4096)
def without_dose(name: str, *, person: bool = False) -> str:
    """Who a name names: the name without dose, and without kernel and thickness beside it; "" where nothing is left.

    "L067_FD_1_1" and "L067_quarter_3mm_sharp" are L067; what names no dose stays as it is.
    """
    found = _said_of_person(name) if person else _said(name)
    if found is None:
        return name
    before = _trimmed(name[: found.start])
    after = [
        word
        for word in _WORD.findall(name[found.end :])
        if word.isdigit() or not _BESIDE.fullmatch(word.casefold())
    ]
    # Numbers behind a patient's are those of the reconstruction; behind no more than a number, who knows.
    if re.search(r"\d", before) and (not before.isdigit() or all(map(str.isdigit, after))):
        return before
    return "_".join(filter(None, (before, *after)))


@lru_cache(maxsize=4096)
def kernel_beside_dose(name: str) -> str:
    """The kernel that a text names beside the dose, in lower case, such as "sharp"; "" without either."""
    found = _said(name)
    rest = _words(f"{name[: found.start]} {name[found.end :]}") if found else []
    return next(filter(_KERNEL.fullmatch, rest), "")


@lru_cache(maxsize=4096)
def is_nobody(name: str) -> bool:
    """Whether a PatientID or PatientName stands for anybody: empty, "Anonymous", "000000" and the like."""
    words = _words(name)
    others = [word for word in words if not _NOBODY.fullmatch(word)]
    return (
        not words
        or bool(_NOBODY.fullmatch("".join(words)))
        or (len(others) < len(words) and all(map(_NO_NAME.fullmatch, others)))
    )


def _said(name: str) -> _Dose | None:
    """The dose that a name says; None where it says none, or two."""
    spoken = [_Dose(each.lastgroup or "", *each.span()) for each in _SPOKEN.finditer(name)]
    found = spoken or [
        _Dose(_SHORT[word.group().casefold()], *word.span())
        for word, following in _with_next(name)
        if word.group().casefold() in _SHORT and not _OTHER_MEANING.fullmatch(following)
    ]
    doses = {each.dose for each in found}
    return found[0] if len(doses) == 1 and not _BOTH.search(name) else None


def _said_of_person(name: str) -> _Dose | None:
    """The same of PatientName or PatientID, in which a word that may be a name or an initial says nothing."""
    if joined := _JOINED.fullmatch(name.strip("^ ")):
        return _Dose(_SHORT[joined[1].casefold()], *joined.span(1))
    found = _said(name)
    if found is None or _SPOKEN.search(name):
        return found
    family, _, given = name.partition("^")
    code = re.search(r"\d" if given.strip("^ ") else r"[_\d]", family)
    word, joined = _word(name, found), name[found.end : found.end + 1] == "_"
    clear = found.start or word in ("qd", "fd", "quarter") or (word in ("full", "low") and joined)
    return found if code and clear else None


def _word(name: str, found: _Dose) -> str:
    return name[found.start : found.end].casefold()


def _nothing_else(name: str, found: _Dose) -> bool:
    return all(map(_BESIDE.fullmatch, _words(f"{name[: found.start]} {name[found.end :]}")))


def _words(name: str) -> list[str]:
    return _WORD.findall(name.casefold())


def _with_next(name: str) -> Iterator[tuple[re.Match[str], str]]:
    """The words of a name from the last to the first, each with the one that follows."""
    following = ""
    for word in reversed(list(_WORD.finditer(name))):
        yield word, following
        following = word.group().casefold()


def _trimmed(name: str) -> str:
    """Without separators, and without words at its end that tell nothing of the patient."""
    while True:
        name = name.strip(" _.-^")
        last = re.search(r"[^\W_]+$", name)
        if last is None or last.group().isdigit() or not _BESIDE.fullmatch(last.group().casefold()):
            return name
        name = name[: last.start()]
