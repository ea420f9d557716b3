"""What the commands on data do: `pairs`, `store` and `phantom`."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ..base import DataError
from ..config import DataConfig
from ..sources import Scan, SeriesPair, anatomies, require_pairs, scan, split_patients
from .console import progress_shown, show_table

WITH_PROBLEMS = 2


def pairs(options: Namespace) -> int:
    """List what a source holds, and what is wrong with it."""
    with progress_shown("reading headers") as progress:
        found = scan(options.source, progress=progress)
    if options.json:
        problems = [asdict(problem) for problem in found.problems]
        rows = _rows(found, options.seed) if found.pairs else []
        counts = {"files": found.files, "files_read": found.read, "left_out": found.left_out}
        print(json.dumps({"pairs": rows, "problems": problems, **counts}, indent=1))
    _name(found)
    require_pairs(found)
    if not options.json:
        _show(found, options.seed)
    return WITH_PROBLEMS if found.problems else 0


def _name(found: Scan) -> None:
    for problem in found.problems:
        print(f"warning: {problem}", file=sys.stderr)


def _show(found: Scan, seed: int) -> None:
    rows = _rows(found, seed)
    paired = sum(pair.low_dose is not None for pair in found.pairs)
    patients = len({pair.patient_id for pair in found.pairs})
    shown = [{name: _text(row[name]) for name in _COLUMNS} for row in rows]
    show_table(f"{patients} patients, {len(rows)} full-dose series, {paired} with low dose", shown)
    if found.left_out:
        listed = ", ".join(f"{count} {reason}" for reason, count in sorted(found.left_out.items()))
        print(f"Passed over: {listed}.")


_COLUMNS = ("patient", "anatomy", "series", "dose", "kernel", "slices", "pixels", "spacing mm", "split")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "×".join(f"{each:g}" for each in value)
    return str(value)


def _rows(found: Scan, seed: int) -> list[dict[str, Any]]:
    """One row for every full-dose series; numbers are 0 where only reading the file would tell them."""
    try:
        split = split_patients(anatomies(found.pairs), DataConfig(), seed=seed)
    except DataError:  # too few patients to train on
        split = {}
    part = {patient: name for name, patients in split.items() for patient in patients}
    return [{**_row(pair), "split": part.get(pair.patient_id, "")} for pair in found.pairs]


def _row(pair: SeriesPair) -> dict[str, Any]:
    full, low = pair.full_dose, pair.low_dose
    i, j, k = full.spacing
    return {
        "patient": pair.patient_id,
        "anatomy": pair.anatomy,
        "series": full.description,
        "dose": "low, full" if low else "full",
        "low_dose_series": low.description if low else "",
        "kernel": full.kernel,
        "slices": full.shape[0] or "",
        "pixels": [*full.shape[1:]] if full.shape[1] else "",
        "spacing mm": [round(each, 3) for each in (i, j, k)] if i else "",
        "files": len(full.files),
        "series_uid": full.series_uid,
        "low_dose_series_uid": low.series_uid if low else "",
    }


def store(options: Namespace) -> int:
    """Convert series beforehand, list or delete them."""
    from ..data import Store, store_at

    action: Callable[[Namespace, Store], int] = {"build": _build, "list": _list, "delete": _delete}[
        options.action
    ]
    return action(options, store_at(options.store))


def _build(options: Namespace, target: Any) -> int:
    from ..data import load_patients, needed

    if len(options.what) != 1:
        raise DataError("say which data are to be stored", hint="`ctinvariance store build SOURCE`.")
    with progress_shown("reading headers") as progress:
        found = scan(options.what[0], progress=progress)
    _name(found)
    config, pairs = DataConfig(dose=options.dose), require_pairs(found)
    wanted = needed(pairs, config, target, seed=options.seed)
    print(f"{wanted.series} series to convert, {wanted.size / 1e6:.0f} MB, to {target.folder}", flush=True)
    with progress_shown("converting") as progress:
        load_patients(pairs, config, seed=options.seed, store=target, progress=progress)
    return WITH_PROBLEMS if found.problems else 0


def _list(options: Namespace, target: Any) -> int:
    entries = target.entries()
    if not entries:
        print(f"Nothing is stored in {target.folder}.")
        return 0
    rows = [
        {
            "patient": entry.patient_id,
            "series": entry.description,
            "dose": "as it was" if entry.dose == 1 else f"{entry.dose:.0%} simulated",
            "slices": entry.shape[0],
            "pixels": _text([*entry.shape[1:]]),
            "MB": f"{entry.size / 1e6:.1f}",
        }
        for entry in entries
    ]
    total = sum(entry.size for entry in entries)
    show_table(f"{len(rows)} series, {total / 1e6:.0f} MB, in {target.folder}", rows)
    return 0


def _delete(options: Namespace, target: Any) -> int:
    """Delete the series of some patients, or all."""
    entries = target.entries()
    if bool(options.what) == options.all:
        raise DataError("say what is to be deleted", hint="Name patients, or give --all.")
    if unknown := sorted(set(options.what) - {entry.patient_id for entry in entries}):
        raise DataError(
            f"nothing is stored of {', '.join(unknown)}", where=target.folder, hint="See `store list`."
        )
    gone = [entry for entry in entries if options.all or entry.patient_id in options.what]
    size = sum(entry.size for entry in gone)
    for entry in gone:
        target.delete(entry)
    print(f"Deleted {len(gone)} series, {size / 1e6:.0f} MB.")
    return 0


def phantom(options: Namespace) -> None:
    """Write phantoms with known truth."""
    from ..phantoms import KINDS, phantom_source, write_phantoms

    source = phantom_source(options.out)
    with progress_shown("phantoms") as progress:
        written = write_phantoms(
            options.out,
            patients=options.patients,
            slices=options.slices,
            size=options.size,
            pixel_mm=options.pixel_mm,
            dose=options.dose,
            seed=options.seed,
            kinds=options.kind or KINDS,
            overwrite=options.overwrite,
            progress=progress,
        )
    size = sum(path.stat().st_size for path in written) / 1e6
    print(
        f"Patients: {options.patients}, slices of each: {options.slices}, at two doses, {size:.1f} MB. "
        f'The DICOM files are in {source}, the truth beside it. Go on with: ctinvariance pairs "{source}"'
    )
