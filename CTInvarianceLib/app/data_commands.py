"""What the commands on data do: `pairs`, `store` and `phantom`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from ..base import DataError, decimal, megabytes
from ..config import DataConfig
from ..sources import (
    Scan,
    SeriesPair,
    anatomies,
    not_to_simulate,
    require_pairs,
    scan,
    split_patients,
)
from .console import complain, progress_shown, say, say_json, show_table

WITH_PROBLEMS = 2


def pairs(options: Namespace) -> int:
    """List what a source holds, and what is wrong with it."""
    found = _scanned(options.source)
    if options.json:
        problems = [asdict(problem) for problem in found.problems]
        rows = _rows(found, options.seed) if found.pairs else []
        counts = {"files": found.files, "files_read": found.read, "left_out": found.left_out}
        say_json({"pairs": rows, "problems": problems, **counts})
    _name(found)
    require_pairs(found)
    if not options.json:
        _show(found, options.seed)
    return WITH_PROBLEMS if found.problems else 0


def _scanned(source: Any) -> Scan:
    """What a source holds, and all that is known already to stop a conversion or a training later."""
    with progress_shown("reading headers") as progress:
        found = scan(source, progress=progress)
    return replace(found, problems=(*found.problems, *not_to_simulate(found.pairs)))


def _name(found: Scan) -> None:
    for problem in found.problems:
        complain(f"warning: {problem}")


def _show(found: Scan, seed: int) -> None:
    rows = _rows(found, seed)
    paired = sum(pair.low_dose is not None for pair in found.pairs)
    patients = len({pair.patient_id for pair in found.pairs})
    shown = [{name: _text(row[name]) for name in _COLUMNS} for row in rows]
    show_table(f"{patients} patients, {len(rows)} full-dose series, {paired} with low dose", shown)
    if found.left_out:
        listed = ", ".join(f"{count} {reason}" for reason, count in sorted(found.left_out.items()))
        say(f"Passed over: {listed}.")


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
    from ..data import LeftOut, load_patients, needed

    if len(options.what) != 1:
        raise DataError("say which data are to be stored", hint="`ctinvariance store build SOURCE`.")
    found = _scanned(options.what[0])
    _name(found)
    config, pairs = DataConfig(dose=options.dose), require_pairs(found)
    wanted = needed(pairs, config, target, seed=options.seed)
    say(f"{wanted.series} series to convert, {megabytes(wanted.size)}, to {target.folder}")
    useless: list[LeftOut] = []
    with progress_shown("converting") as progress:
        load_patients(pairs, config, seed=options.seed, store=target, left_out=useless, progress=progress)
    for each in useless:
        complain(f"warning: {each}")
    if len(useless) == len(pairs):
        raise useless[0].why
    return WITH_PROBLEMS if found.problems or useless else 0


def _list(options: Namespace, target: Any) -> int:
    entries, useless = target.entries(), sum(entry.size for entry in target.useless())
    if useless:
        say(
            f"Entries of an earlier version, or damaged, take {useless / 1e6:.1f} MB: `store delete` removes them too."
        )
    if not entries:
        say(f"Nothing is stored in {target.folder}.")
        return 0
    rows = [
        {
            "patient": entry.patient_id,
            "series": entry.description,
            "dose": "as it was" if entry.dose == 1 else f"{entry.dose:.0%} simulated",
            "slices": entry.shape[0],
            "pixels": _text([*entry.shape[1:]]),
            "MB": decimal(entry.size / 1e6, 1),
        }
        for entry in entries
    ]
    total = sum(entry.size for entry in entries)
    show_table(f"{len(rows)} series, {megabytes(total)}, in {target.folder}", rows)
    return 0


def _delete(options: Namespace, target: Any) -> int:
    """Delete the series of some patients, or all."""
    entries = [*target.entries(), *target.useless()]
    if bool(options.what) == options.all:
        raise DataError("say what is to be deleted", hint="Name patients, or give --all.")
    if unknown := sorted(set(options.what) - {entry.patient_id for entry in entries}):
        raise DataError(
            f"nothing is stored of {', '.join(unknown)}", where=target.folder, hint="See `store list`."
        )
    gone = [entry for entry in entries if options.all or entry.patient_id in options.what]
    sizes = [size for entry in gone if (size := entry.size) and target.delete(entry)]
    say(f"Deleted {len(sizes)} series, {megabytes(sum(sizes))}.")
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
    say(
        f"Patients: {options.patients}, slices of each: {options.slices}, at two doses, {size:.1f} MB. "
        f'The DICOM files are in {source}, the truth beside it. Go on with: ctinvariance pairs "{source}"'
    )
