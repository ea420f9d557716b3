"""Which patients a model set knows: digests in its manifest, which tell no ids but recognise those asked about."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_MARK = "pbkdf2:"
_ROUNDS = 20_000  # some 10 ms for each patient, and for each id that somebody tries


def sealed(patients: Mapping[str, Sequence[str]], salt: str) -> dict[str, list[str]]:
    """Part of the split -> digests of its patients' ids, in no order that tells anything."""
    return {name: sorted(_digest(each, salt) for each in ids) for name, ids in patients.items()}


def recognised(manifest: Mapping[str, Any], ids: Iterable[str]) -> dict[str, list[str]]:
    """Part of the split -> those of some ids that belong to it; sets of older versions hold the ids themselves.

    Args:
        manifest: of a model set.
        ids: of patients.
    """
    stored: dict[str, list[str]] = manifest.get("patients", {})
    salt = str(manifest.get("origin", {}).get("run", ""))
    asked = {each: {each} for each in sorted(set(ids))}
    if any(each.startswith(_MARK) for held in stored.values() for each in held):
        asked = {each: {each, _digest(each, salt)} for each in asked}
    return {name: [each for each in asked if asked[each] & set(held)] for name, held in stored.items()}


def _digest(patient_id: str, salt: str) -> str:
    text = patient_id.encode("utf-8", "surrogatepass")
    return _MARK + hashlib.pbkdf2_hmac("sha256", text, salt.encode(), _ROUNDS).hex()
