"""The whole method from nothing: phantoms → pairs → quick preset → samples → montages and table.

Needs no file from anywhere: the phantoms are generated, the one real CT image comes with pydicom.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base import (
    DataError,
    Event,
    OnEvent,
    Reporter,
    identifier_of,
    is_ours,
    json_text,
    mark_ours,
    new_identifier,
    remove_ours,
    require_folder,
    writing,
)
from ..config import DOMAINS, Domain, preset, recognised
from ..files import read_volume
from ..report import draw_montage, table, write_samples
from ..sources import find_pairs, read_pair
from ..volumes import CTVolume, Place

if TYPE_CHECKING:
    from ..models import Models

_PATIENTS, _SLICES, _SAMPLES, _SEED = 12, 4, 64, 0
_PHANTOMS_UNTIL, _TRAINING_UNTIL = 0.01, 0.84  # shares of the demo's time
_TELLING = 0.1  # share of the demo's time: a shorter part does not tell how long the others take
_TOLD_UNTIL = 0.9  # of a part: what is left of it tells how long it would take as a whole
_PHANTOMS, _UNFINISHED, _TABLE = "phantoms", "phantoms.unfinished", "table.json"
_FOLDERS = (_PHANTOMS, _UNFINISHED, "models", "samples", "montages")


@dataclass(frozen=True)
class DemoSummary:
    """Where the demo left what, and its tables for the terminal."""

    pictures: Path
    table: Path
    tables: dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class _Case:
    """A patch to ask about, in a volume that may have a full-dose partner."""

    name: str
    place: Place
    volume: CTVolume
    full_dose: CTVolume | None
    domains: tuple[Domain, ...]


def run_demo(
    out: Path, *, fresh: bool, on_event: OnEvent, should_stop: Callable[[], bool] = lambda: False
) -> DemoSummary:
    """Run everything below `out`; what an earlier demo finished there is used again unless `fresh`.

    Raises:
        DataError: `out` holds folders or files of these names that are not a demo's; nothing is touched then.
        VolumeError: `out` cannot be written to.
    """
    from ..report import evaluate
    from ..training import train

    identifier = _claim(out)
    if fresh:
        for name in _FOLDERS:
            remove_ours(out / name, identifier)
    total = _Total(on_event)
    data = _phantoms(
        out, identifier, Reporter(total.part(0, _PHANTOMS_UNTIL), {_PHANTOMS: 1.0}, should_stop=should_stop)
    )
    for name in ("models", "samples", "montages"):
        mark_ours(out / name, identifier)
    listener = total.part(_PHANTOMS_UNTIL, _TRAINING_UNTIL)
    models = train(preset("quick"), data, out / "models", on_event=listener, should_stop=should_stop)
    cases = _cases(data, models)
    plan = {f"samples of {case.name}, {name}": 2.0 for case in cases for name in models.denoisers}
    report = Reporter(total.part(_TRAINING_UNTIL, 1), {**plan, "evaluation": 3.0}, should_stop=should_stop)
    rows = []
    for case in cases:
        for name in models.denoisers:
            rows += _sample_layers(models, case, name, out)
            report.progress(f"samples of {case.name}, {name}", 1.0)
    tables = evaluate(models, data, progress=lambda fraction: report.progress("evaluation", fraction))
    with writing(out / _TABLE) as part:
        part.write_text(json_text({"samples": rows, **tables}, indent=1), "utf-8")
    shown = {"denoising": tables["denoising"], "embedding": tables["embedding"], "samples": rows}
    return DemoSummary(out / "montages", out / _TABLE, shown)


def _claim(out: Path) -> str:
    """The identifier of the demo in a folder, which its folders carry too; a new one where no demo has been.

    Raises:
        DataError, VolumeError: see `run_demo`.
    """
    require_folder(out)
    identifier = identifier_of(out)
    foreign = [name for name in _FOLDERS if _is_foreign(out / name, identifier)]
    if identifier is None and os.path.lexists(out / _TABLE):
        foreign.append(_TABLE)
    if foreign:
        raise DataError(
            f"{', '.join(foreign)}: not this demo's, and it would write there",
            where=out,
            hint="Choose another folder with --out, or move them away.",
        )
    if identifier is None:
        identifier = new_identifier()
        mark_ours(out, identifier)
    return identifier


def _is_foreign(folder: Path, identifier: str | None) -> bool:
    """Whether something is there that this demo has not made; an empty folder may be used."""
    if identifier is not None and is_ours(folder, identifier):
        return False
    empty = folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())
    return os.path.lexists(folder) and not empty


def _phantoms(out: Path, identifier: str, report: Reporter) -> Path:
    """The phantoms' DICOM files, written where they are not there whole."""
    from ..phantoms import phantom_source, write_phantoms

    phantoms, unfinished = out / _PHANTOMS, out / _UNFINISHED
    if not phantom_source(phantoms).is_dir():
        remove_ours(unfinished, identifier)
        mark_ours(unfinished, identifier)
        write_phantoms(
            unfinished,
            patients=_PATIENTS,
            slices=_SLICES,
            seed=_SEED,
            progress=lambda fraction: report.progress(_PHANTOMS, fraction),
        )
        remove_ours(phantoms, identifier)
        unfinished.rename(phantoms)
    return phantom_source(phantoms)


def _cases(data: Path, models: Models) -> list[_Case]:
    """A chest phantom that no network has seen, and the real CT image that comes with pydicom."""
    from pydicom.data import get_testdata_file

    size = models.config.embedding.patch_size
    pairs = find_pairs(data)
    unseen = recognised(models.manifest, [pair.patient_id for pair in pairs])["validation"]
    patient = next((name for name in unseen if name.endswith("chest")), unseen[0])
    pair = next(pair for pair in pairs if pair.patient_id == patient)
    low, full = read_pair(pair)
    assert low is not None, "every phantom has both doses"
    _, rows, columns = low.shape
    centre = (rows // 2, columns // 3)  # outline, ribs, a lung, and the spine at the edge
    real = read_volume(str(get_testdata_file("CT_small.dcm")))
    return [
        _Case("phantom", Place.choose(low, (size, size), centre=centre), low, full, DOMAINS),
        _Case("CT_small", Place.choose(real, (size, size)), real, None, ("low",)),
    ]


def _sample_layers(models: Models, case: _Case, name: str, out: Path) -> list[dict[str, Any]]:
    """Sample every layer of a denoiser at a patch; files, one montage a domain, and rows for the table."""
    rows = []
    embedding, geometry = models.embedding("low").module, case.place.cut(case.volume)
    seen, region = case.place.seen(case.volume, alone=embedding.fixed_size)
    full = None
    if case.full_dose is not None:
        full = case.place.seen(case.full_dose, alone=embedding.fixed_size)[0][0]
    origin = {"volume": case.name, **case.place.to_dict(), "embedding": embedding.kind}
    for domain in case.domains:
        montage = []
        for layer in models.layers(name):
            samples = models.sample(seen[0], name, layer, _SAMPLES, domain, full_dose_hu=full, region=region)
            folder = out / "samples" / f"{case.name}-{name}-{layer}-{domain}"
            write_samples([samples], geometry, folder, denoiser=name, **origin)
            montage.append((f"layer {layer}", samples))
            numbers = table([samples], denoiser=name)
            rows.append(
                {
                    "image": case.name,
                    **{key: numbers[key] for key in ("denoiser", "layer", "domain")},
                    **{
                        name: numbers["invariance"].get(name)
                        for name in ("tolerance", "tolerance_hu", "spread", "arrives", "noise_arrives")
                    },
                    "V": numbers["invariance"]["visibility"],
                    **{name: numbers["invariance"].get(name) for name in ("change_rms", "proposed_misfit")},
                    "moved": numbers["invariance"]["moved_mean"],
                    "R": numbers["consistency"]["mean"],
                }
            )
        title = f"{case.name}: {name}, {domain}-dose domain"
        draw_montage(montage, out / "montages" / f"{case.name}-{name}-{domain}.png", title=title)
    return rows


class _Total:
    """Joins the progress of consecutive jobs into one, with the time left for all of them."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event

    def part(self, first: float, last: float) -> OnEvent:
        """A listener for a job that fills the demo's time from `first` to `last`, fractions of the whole."""
        whole: float | None = None

        def listen(event: Event) -> None:
            nonlocal whole
            if event["event"] == "progress":
                fraction, left = event["fraction"], event["eta_s"]
                if left is not None and fraction < _TOLD_UNTIL:
                    whole = left / (1 - fraction)
                if left is not None and whole is not None:
                    left = round(left + whole * (1 - last) / (last - first), 1)
                told = left if last - first >= _TELLING else None
                event = {**event, "fraction": first + (last - first) * fraction, "eta_s": told}
            self._on_event(event)

        return listen
