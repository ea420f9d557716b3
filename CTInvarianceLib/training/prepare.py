"""The beginning of a run: data found, split and converted, and the manifest, from which on it can be resumed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from lightning_fabric import Fabric

from .. import __version__
from ..base import ModelsError, Reporter, megabytes, part, sweep
from ..config import (
    DOMAINS,
    FOLDERS,
    MANIFEST,
    Config,
    configuration,
    read_manifest,
    recognised,
    sealed,
    unrelated_file,
    write_manifest,
)
from ..data import Data, LeftOut, Patches, PatientSlices, Store, as_pairs, load_patients, needed
from ..models import unrelated_tensors
from ..sources import SeriesPair, Split, anatomies, split_patients
from .cost import check_memory
from .lock import FolderLock
from .machine import seconds_per_planned
from .origin import adopt, new_origin, require_inputs, require_own
from .plan import UNRELATED, plan_data
from .run import Run, make_fabric, stage_seed

_SCANNING_SHARE = 0.05  # of the time for the data
_SHARED = 0.95  # of the time, in which several processes convert what all of them then have


def prepare(config: Config, data: Data, out: Path, report: Reporter, store: Store, lock: FolderLock) -> Run:
    """Read the data, split them, and write the manifest: from here on there is a run to resume."""
    progress = part(lambda fraction: report.progress("data", fraction), 0, _SCANNING_SHARE)
    pairs: Sequence[SeriesPair] = as_pairs(data, progress=progress)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        fabric = make_fabric(config)
    check_memory(config, fabric.device)
    report.time_left.expect(seconds_per_planned(fabric.device))
    split, patients, pairs = _split_and_load(pairs, config, out, store, report, fabric)
    training, kept = (
        Patches(
            [p for p in patients if p.patient_id in ids],
            skip_air=config.data.skip_air,
            flips=config.data.flips,
            quarter_turns=config.data.quarter_turns,
            device=fabric.device,
        )
        for ids in (split["training"], split["validation"] or split["training"])
    )
    if fabric.is_global_zero:
        lock.take()
        _sweep(out)
        _begin(config, out, split, pairs)
    fabric.barrier()
    run = Run(config, out, fabric, report, training, kept, read_manifest(out)["origin"])
    if not run.known(unrelated_file()):
        _save_unrelated(run)
    fabric.barrier()
    return run


def _split_and_load(
    pairs: Sequence[SeriesPair], config: Config, out: Path, store: Store, report: Reporter, fabric: Fabric
) -> tuple[Split, list[PatientSlices], Sequence[SeriesPair]]:
    """The split, slices of all that is not kept for a test (of that nothing is converted), and the pairs of use.

    Series that cannot be used are left out, aloud, and the split is made of the others.
    """
    if (out / MANIFEST).exists():  # what could not be used at first is not among the run's patients
        parts = recognised(read_manifest(out), {pair.patient_id for pair in pairs})
        known = {name for names in parts.values() for name in names}
        others = [pair for pair in pairs if pair.patient_id not in known]
        _, useless = _load(others, config, store, report, fabric) if others else ([], [])
        pairs = _without(pairs, useless)
    while True:
        split = _split(pairs, config, out)
        used = [pair for pair in pairs if pair.patient_id not in split["test"]]
        patients, useless = _load(used, config, store, report, fabric)
        if not useless:
            return split, patients, pairs
        pairs = _without(pairs, useless)
        if not pairs:
            raise useless[0].why


def _without(pairs: Sequence[SeriesPair], useless: Sequence[LeftOut]) -> list[SeriesPair]:
    gone = {id(each.pair) for each in useless}
    return [pair for pair in pairs if id(pair) not in gone]


def _split(pairs: Sequence[SeriesPair], config: Config, out: Path) -> Split:
    """The split of the run in `out`, which must be of the same patients, or a new one."""
    patients = anatomies(pairs)
    if not (out / MANIFEST).exists():
        return split_patients(patients, config.data, seed=config.seed)
    manifest = read_manifest(out)
    stored: Split = {"test": [], "training": [], "validation": [], **recognised(manifest, patients)}
    count = sum(map(len, manifest.get("patients", {}).values()))
    if sorted(patients) != sorted(name for names in stored.values() for name in names) or count != len(
        patients
    ):
        raise ModelsError(
            "the run in this folder was started with other patients",
            where=out,
            hint="Choose another folder, or give the same data.",
        )
    require_inputs(out, pairs)
    return stored


def _load(
    pairs: Sequence[SeriesPair], config: Config, store: Store, report: Reporter, fabric: Fabric
) -> tuple[list[PatientSlices], list[LeftOut]]:
    """Slices out of the store, and what cannot be used; says before how much has to be converted."""
    wanted = needed(pairs, config.data, store, seed=config.seed)
    if wanted.series:
        what = f"converting {wanted.series} series, {megabytes(wanted.size)}, to {store.folder}"
        report.emit("log", message=what, level="info")
    report.time_left.plan("data", _data_work(pairs, config, store))
    useless: list[LeftOut] = []
    progress = part(lambda fraction: report.progress("data", fraction), _SCANNING_SHARE, 1)
    shared = 0.0 if fabric.world_size == 1 else _SHARED
    load = partial(
        load_patients,
        config=config.data,
        seed=config.seed,
        store=store,
        device=str(fabric.device),
        least=_largest_patch(config),
    )
    if shared and (own := pairs[fabric.global_rank :: fabric.world_size]):
        load(own, left_out=[], progress=part(progress, 0, shared))  # every process converts some
    fabric.barrier()
    patients = load(pairs, left_out=useless, progress=part(progress, shared, 1))
    for each in useless:
        report.emit("log", message=str(each))
    return patients, useless


def _data_work(pairs: Sequence[SeriesPair], config: Config, store: Store) -> float:
    """Seconds that converting series, and simulating the low dose of those that have none, will take."""
    alone = [pair for pair in pairs if pair.low_dose is None]
    whole, simulated = (needed(some, config.data, store, seed=config.seed).size for some in (pairs, alone))
    return plan_data(converted=whole - simulated, simulated=simulated)


def _sweep(out: Path) -> None:
    """Remove at once what a training that was killed was writing: nobody else writes here, as the folder is locked."""
    for folder in (out, *(out / name for name in FOLDERS if not (out / name).is_symlink())):
        sweep(folder, older_s=0)


def _begin(config: Config, out: Path, patients: Split, pairs: Sequence[SeriesPair]) -> None:
    """Write the manifest of a new run, or take over an older one's; nothing in the folder is of another run."""
    manifest = read_manifest(out) if (out / MANIFEST).exists() else None
    origin = (manifest or {}).get("origin") or new_origin(config, pairs)
    if manifest is not None and configuration(manifest, out) != config:
        raise ModelsError(
            "another training has begun in this folder", where=out, hint="Choose another folder."
        )
    if manifest is not None and "origin" not in manifest:
        adopt(out, config, origin)
    require_own(out, config, origin)
    if manifest is None:
        created = datetime.now(UTC).isoformat(timespec="seconds")
        write_manifest(
            out,
            config,
            library=__version__,
            created=created,
            patients=sealed(patients, origin["run"]),
            origin=origin,
            files={},
        )


def _largest_patch(config: Config) -> int:
    sizes = [config.embedding.patch_size, *(d.patch_size + 2 * d.margin for d in config.denoisers.values())]
    if config.embedding.kind == "complete":
        sizes.append(config.flow.patch_size)
    if config.needs_encoder:
        sizes.append(config.encoder.patch_size)
    return max(sizes)


def _save_unrelated(run: Run) -> None:
    size, seed = run.config.embedding.patch_size, stage_seed(run.config.seed, "unrelated")
    drawn = zip(DOMAINS, run.validation.draw(UNRELATED, size, seed=seed), strict=True)
    run.save(unrelated_file(), unrelated_tensors(dict(drawn)))
