"""What the parts of a model set were made from: every part names it, and what names something else is not loaded."""

from __future__ import annotations

import hashlib
import json
import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..base import ModelsError, ModelsWarning
from ..config import CHECKPOINTS, Config, checksum, parts_of, path_in, read_manifest, update_manifest
from ..models import load_tensors, read_header, save_tensors
from ..sources import CTSeries, SeriesPair

Origin = dict[str, Any]
"""run (a random id), seed, config and inputs (digests)."""


def new_origin(config: Config, pairs: Sequence[SeriesPair]) -> Origin:
    """The origin of a run that begins now."""
    run = uuid.uuid4().hex
    settings = json.dumps(config.to_dict(), sort_keys=True)
    return {
        "run": run,
        "seed": config.seed,
        "config": hashlib.sha256(settings.encode()).hexdigest(),
        "inputs": inputs_digest(run, pairs),
    }


def inputs_digest(run: str, pairs: Sequence[SeriesPair]) -> str:
    """A digest of the data: series and the sizes of their files, wherever they lie; salted, and without names."""
    facts = [[_facts(each) for each in (pair.full_dose, pair.low_dose) if each] for pair in pairs]
    series = sorted(facts, key=json.dumps)
    return hashlib.sha256(json.dumps([run, series]).encode()).hexdigest()


def _facts(series: CTSeries) -> list[Any]:
    return [series.series_uid, list(series.shape), sorted(file.stat().st_size for file in series.files)]


def require_inputs(folder: Path, pairs: Sequence[SeriesPair]) -> None:
    """Raise ModelsError where the run in a folder was started with other data; of an older run nobody knows."""
    origin = read_manifest(folder).get("origin")
    if origin and origin.get("inputs") != inputs_digest(str(origin.get("run")), pairs):
        raise ModelsError(
            "the run in this folder was started with other data: the series, or their files, are not the same",
            where=folder,
            hint="Choose another folder, or give the same data.",
        )


def metadata(origin: Origin, file: str) -> dict[str, Any]:
    """What a part says of itself, in its file."""
    return {"origin": origin, "part": file}


def require_origin(folder: Path, file: str, origin: Origin) -> Path:
    """The path of a part, or where it would be, with `origin` and its own name in it if it is there.

    Raises:
        ModelsError: it was made by another run, or is another part, or a link.
    """
    path = path_in(folder, file)
    if path.is_file():
        said = read_header(path).metadata
        if {name: said.get(name) for name in ("origin", "part")} != metadata(origin, file):
            raise ModelsError(
                "this file is not from the run in this folder: it names another configuration, seed or data, or none",
                where=path,
                hint="Choose another folder, or move the file away: it is then made anew.",
            )
    return path


def require_own(folder: Path, config: Config, origin: Origin) -> None:
    """Raise ModelsError for the first part or checkpoint in a folder that is not of this run; see `require_origin`."""
    for file in _there(folder, config):
        require_origin(folder, file, origin)


def adopt(folder: Path, config: Config, origin: Origin) -> None:
    """Take over a run of an older version, whose parts say nothing of themselves: from now on they do."""
    text = f"{folder}: this run was begun by an older version; its parts are taken as they are, nothing proves them"
    warnings.warn(text, ModelsWarning, stacklevel=2)
    files = {}
    for file in _there(folder, config):
        path = path_in(folder, file)
        tensors, said = load_tensors(path)
        save_tensors(path, tensors, {**said, **metadata(origin, file)})
        if not file.startswith(CHECKPOINTS):
            files[file] = checksum(path)
    update_manifest(folder, origin=origin, files=files)


def _there(folder: Path, config: Config) -> list[str]:
    """Parts and checkpoints that are there, or something of their name."""
    found = [file for file in parts_of(config.to_dict()["denoisers"]) if path_in(folder, file).exists()]
    return found + [f"{CHECKPOINTS}/{each.name}" for each in (folder / CHECKPOINTS).glob("[!.]*.safetensors")]
