"""A model set on disk, as far as it can be read without torch: its files, and what it says of itself.

A model set is a folder with a manifest and safetensors files; nothing in it is ever run or unpickled:

    models.json                              format, version, configuration, patients
    denoisers/chen.safetensors …
    embeddings/low.safetensors, full.safetensors
    flows/chen-1-low.safetensors …
    unrelated.safetensors                    patches that the ceiling of R is measured with
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ..base import ModelsError, writing
from .reading import config_from_dict
from .settings import Config

FORMAT, VERSION = "ctinvariance-models", 2
MANIFEST = "models.json"


def denoiser_file(name: str) -> str:
    """Where a denoiser's weights lie in a model set."""
    return f"denoisers/{name}.safetensors"


def embedding_file(domain: str) -> str:
    """Where an embedding's weights lie in a model set."""
    return f"embeddings/{domain}.safetensors"


def flow_file(denoiser: str, layer: str, domain: str) -> str:
    """Where the weights of a layer's flow lie in a model set."""
    return f"flows/{denoiser}-{layer}-{domain}.safetensors"


def unrelated_file() -> str:
    """Where the patches for the ceiling of R lie in a model set."""
    return "unrelated.safetensors"


def write_manifest(folder: Path, config: Config, **more: Any) -> None:
    """Write `models.json`, whole or not at all."""
    content = {"format": FORMAT, "version": VERSION, **more, "config": config.to_dict()}
    with writing(folder / MANIFEST) as part:
        part.write_text(json.dumps(content, indent=1), "utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a model set.

    Raises:
        ModelsError: no model set, a damaged one, or one of another version.
    """
    path = folder / MANIFEST
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        found = (content["format"], content["version"])
    except OSError as error:
        raise ModelsError(
            f"this is no model set, {MANIFEST} cannot be read ({error.strerror})",
            where=folder,
            hint="`ctinvariance train` makes one.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelsError("the manifest of the model set is damaged", where=path) from error
    if found != (FORMAT, VERSION):
        raise ModelsError(
            f"the model set is {found[0]} version {found[1]}, this program reads {FORMAT} version {VERSION}",
            where=folder,
            hint="Train it again, or use the version of CTInvariance that made it.",
        )
    return content


def delete_models(folder: Path) -> None:
    """Delete a model set; whatever else lies in the folder stays."""
    read_manifest(folder)
    for name in ("denoisers", "embeddings", "flows", "checkpoints"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (unrelated_file(), "log.jsonl", MANIFEST):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


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
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "name": folder.name,
        "preset": manifest["config"]["name"],
        "denoisers": ", ".join(manifest["config"]["denoisers"]),
        "patients": len(manifest["patients"]["training"]),
        "created": manifest["created"],
        "MB": round(size / 1e6, 1),
    }


def configuration(manifest: dict[str, Any], folder: Path) -> Config:
    """What a model set was trained with; its `denoisers` name the architecture, and the layers that have flows.

    Raises:
        ConfigError: settings that this program does not know.
    """
    return config_from_dict(manifest.get("config", {}), where=str(folder / MANIFEST))


def layers_with_flows(folder: Path) -> dict[str, list[str]]:
    """Names of the denoisers of a model set, each with the layers that have flows; from the manifest alone.

    Raises:
        ModelsError: see `read_manifest`.
    """
    denoisers = _of_config(folder, "denoisers")
    return {name: list(settings["layers"]) for name, settings in denoisers.items()}


def trained_patch_size(folder: Path) -> int:
    """Pixels of the sides of the patches that a model set was trained on; from the manifest alone.

    Raises:
        ModelsError: see `read_manifest`.
    """
    return int(_of_config(folder, "embedding")["patch_size"])


def _of_config(folder: Path, name: str) -> dict[str, Any]:
    """A table of the configuration, unchecked: it was checked when it was written, and pydantic may not be there."""
    table: dict[str, Any] = read_manifest(folder)["config"][name]
    return table
