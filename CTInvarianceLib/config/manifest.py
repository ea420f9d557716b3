"""A model set on disk, as far as it can be read without torch: its files, and what it says of itself.

A model set is a folder with a manifest and safetensors files; nothing in it is ever run or unpickled:

    models.json                              format, version, configuration, patients, origin, files
    denoisers/chen.safetensors …
    embeddings/low.safetensors, full.safetensors
    flows/chen-1-low.safetensors …
    perceptual.safetensors                   an encoder that a denoiser was trained with; nothing else needs it
    unrelated.safetensors                    patches that the ceiling of R is measured with
    checkpoints/                             of stages that are not finished
    log.jsonl                                events of the training
    progress.json …                          of a training that goes on by itself: see `run_folder`

`origin` says which run this is: a random id, the seed, and digests of configuration and training data. Every part
names the same origin; `files` has the checksum of every finished part. Older sets have neither.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NoReturn

from ..base import ModelsError, json_text, read_text, writing
from .form import wrong_in
from .names import denoiser_file, embedding_file, encoder_file, flow_file, path_in, unrelated_file
from .reading import config_from_dict
from .run_folder import ALIVE, EXAMPLE, OUTPUT, REQUEST, STANDING, STOP
from .settings import DOMAINS, Config

FORMAT, VERSION = "ctinvariance-models", 2
MANIFEST, LOG, LOCK = "models.json", "log.jsonl", ".lock"
CHECKPOINTS = "checkpoints"
BOARD = "tensorboard"  # folder of event files, which have pictures of patients in them
FOLDERS = ("denoisers", "embeddings", "flows", CHECKPOINTS)
"""Of a model set's parts."""
_MOST_BYTES = 1 << 24  # ids of 100 000 patients are 7 MB


def write_manifest(folder: Path, config: Config, **more: Any) -> None:
    """Write `models.json`, whole or not at all."""
    _write(folder, {"format": FORMAT, "version": VERSION, **more, "config": config.to_dict()})


def _write(folder: Path, content: dict[str, Any]) -> None:
    with writing(path_in(folder, MANIFEST)) as part:
        part.write_text(json_text(content, indent=1), "utf-8")


def update_manifest(folder: Path, **more: Any) -> None:
    """Change entries of the manifest; the others stay."""
    _write(folder, {**read_manifest(folder), **more})


def record_file(folder: Path, file: str) -> None:
    """Write the checksum of a finished part into the manifest."""
    files = read_manifest(folder).get("files", {})
    update_manifest(folder, files={**files, file: checksum(path_in(folder, file))})


def checksum(path: Path) -> dict[str, Any]:
    """Length and SHA-256 of a file, as a manifest has them."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def require_file(folder: Path, file: str, manifest: dict[str, Any]) -> Path:
    """A part of a model set, where its manifest has its checksum; of an older set, without any, as it is.

    Raises:
        ModelsError: not there, not what was written, or unknown to the manifest.
    """
    path = path_in(folder, file)
    if not path.is_file():
        raise ModelsError(
            "this part of the model set is not trained yet",
            where=path,
            hint="Finish the training with `ctinvariance train … --resume`.",
        )
    if "files" not in manifest:
        return path
    known = manifest["files"].get(file)
    if known is None:
        raise ModelsError(
            "the manifest does not know this part of the model set",
            where=path,
            hint="If its training was interrupted, finish it with `ctinvariance train … --resume`.",
        )
    if path.stat().st_size != known["bytes"] or checksum(path) != known:
        raise ModelsError(
            "this part of the model set is damaged or was exchanged: it has not the checksum in the manifest",
            where=path,
            hint="Copy the model set again; or delete this file, and `ctinvariance train … --resume` trains it anew.",
        )
    return path


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a model set, of the form that `train` writes.

    Raises:
        ModelsError: no model set, a damaged one, or one of another version.
    """
    path = path_in(folder, MANIFEST)
    try:
        content: dict[str, Any] = json.loads(read_text(path, most=_MOST_BYTES), parse_constant=_no_number)
        json.dumps(content, ensure_ascii=False).encode()  # half a surrogate is no text
        found = (content["format"], content["version"])
    except OSError as error:
        raise ModelsError(
            f"this is no model set, {MANIFEST} cannot be read ({error.strerror})",
            where=folder,
            hint="`ctinvariance train` makes one.",
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelsError("the manifest of the model set is damaged", where=path) from error
    if found != (FORMAT, VERSION):
        raise ModelsError(
            f"the model set is {str(found[0])[:40]} version {str(found[1])[:40]}, "
            f"this program reads {FORMAT} version {VERSION}",
            where=folder,
            hint="Train it again, or use the version of CTInvariance that made it.",
        )
    wrong = wrong_in(content)
    if wrong:
        raise ModelsError(f"the manifest of the model set is damaged ({wrong})", where=path)
    return content


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def parts_of(denoisers: dict[str, Any]) -> list[str]:
    """The files of a model set besides its manifest, there or not yet: what was trained, by what it was made from.

    Args:
        denoisers: name -> its settings, of which only "layers" is looked at.
    """
    flows = [
        flow_file(name, layer, domain)
        for name, settings in denoisers.items()
        for layer in settings["layers"]
        for domain in DOMAINS
    ]
    return [
        unrelated_file(),
        encoder_file(),
        *map(embedding_file, DOMAINS),
        *map(denoiser_file, denoisers),
        *flows,
    ]


def files_of(folder: Path) -> list[Path]:
    """The files of a model set that are there, its manifest first; no link, and nothing that is not ours.

    Raises:
        ModelsError: see `read_manifest`.
    """
    alone = [REQUEST, STANDING, OUTPUT, STOP, ALIVE, EXAMPLE]
    names = [MANIFEST, LOG, LOCK, *alone, *parts_of(read_manifest(folder)["config"]["denoisers"])]
    names += [f"{CHECKPOINTS}/{each.name}" for each in (folder / CHECKPOINTS).glob("[!.]*.safetensors")]
    names += [f"{BOARD}/{each.name}" for each in (folder / BOARD).glob("events.out.tfevents.*")]
    return [path for name in names if (path := _plain_file(folder, name))]


def _plain_file(folder: Path, name: str) -> Path | None:
    try:
        path = path_in(folder, name)
    except ModelsError:
        return None
    return path if path.is_file() else None


def delete_models(folder: Path) -> None:
    """Delete a model set; whatever else lies in the folder, or in the folders of its parts, stays."""
    manifest, *others = files_of(folder)
    for path in others:
        path.unlink()
    manifest.unlink()
    for name in (*FOLDERS, BOARD, "."):
        try:
            (folder / name).rmdir()
        except OSError:  # there is something else in it, or it is a link
            continue


def list_models(folder: Path) -> list[dict[str, Any]]:
    """`summary` of every model set directly in a folder, by name; those of other versions are left out."""
    rows = []
    for path in sorted(folder.glob(f"*/{MANIFEST}")):
        try:
            rows.append(summary(path.parent))
        except ModelsError:
            continue
    return rows


def summary(folder: Path) -> dict[str, Any]:
    """What people want to know of a model set: name, preset, denoisers, patients, created, MB.

    Raises:
        ModelsError: see `read_manifest`.
    """
    manifest = read_manifest(folder)
    size = sum(path.stat().st_size for path in files_of(folder))
    return {
        "name": folder.name,
        "preset": manifest["config"]["name"],
        "denoisers": ", ".join(manifest["config"]["denoisers"]),
        "patients": len(manifest.get("patients", {}).get("training", [])),
        "created": manifest.get("created", ""),
        "MB": round(size / 1e6, 1),
    }


def configuration(manifest: dict[str, Any], folder: Path) -> Config:
    """What a model set was trained with; its `denoisers` name the architecture, and the layers that have flows.

    Raises:
        ConfigError: settings that this program does not know, or that are not possible.
    """
    return config_from_dict(manifest.get("config", {}), where=str(folder / MANIFEST))


def layers_with_flows(folder: Path) -> dict[str, list[str]]:
    """Names of the denoisers of a model set, each with the layers that have flows; from the manifest alone.

    Raises:
        ModelsError: see `read_manifest`.
    """
    denoisers = read_manifest(folder)["config"]["denoisers"]
    return {name: list(settings["layers"]) for name, settings in denoisers.items()}


def trained_patch_size(folder: Path) -> int:
    """Pixels of the sides of the patches that a model set was trained on; from the manifest alone.

    Raises:
        ModelsError: see `read_manifest`.
    """
    return int(read_manifest(folder)["config"]["embedding"]["patch_size"])
