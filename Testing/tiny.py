"""A run that trains in seconds: every stage is real, every size small."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CTInvarianceLib import find_pairs
from CTInvarianceLib.config import Config, Question, config_from_dict
from CTInvarianceLib.phantoms import phantom_source, write_phantoms

if TYPE_CHECKING:
    import numpy as np

    from CTInvarianceLib import Models
    from CTInvarianceLib.sampling import Samples

PATCH = 32


VECTOR = {"kind": "vector", "latent_dim": 12, "critic": "dense", "critic_width": 4}
SPATIAL = {"kind": "spatial", "channels": 3, "blocks": 1, "critic": "patch", "critic_width": 4}
COMPLETE = {"kind": "complete"}
KINDS = ("vector", "spatial", "complete")
CODED = ("vector", "spatial")  # an encoder and a decoder that are trained, and flows of their latents
_EMBEDDINGS = {"vector": VECTOR, "spatial": SPATIAL, "complete": COMPLETE}


def config(kind: str = "vector", **changes: object) -> Config:
    """Chen, Yang and the identity on patches of 32×32, a handful of steps each; tables in `changes` replace ours."""
    values = {
        "name": "tiny",
        "embedding": {
            **_EMBEDDINGS[kind], "patch_size": PATCH, "width": 8, "principal_patches": 64,
            "steps": 6, "batch_size": 4, "critic_from": 0.5, "critic_every": 1,
        },
        "denoisers": {
            "chen": {"architecture": "chen", "layers": ["1", "5"], "patch_size": 17, "steps": 6, "batch_size": 4},
            "yang": {
                "architecture": "yang", "layers": ["8"], "loss": "wgan-vgg", "perceptual": "embedding",
                "patch_size": 32, "steps": 4, "batch_size": 2, "critic_width": 4, "critic_steps": 1,
            },
            "identity": {"architecture": "identity", "layers": ["1"], "loss": "none"},
        },
        "flow": {
            "patches": 64, "patch_size": PATCH, "components": 4, "hidden": 16, "steps": 5, "batch_size": 16,
            **({"condition_dim": 8, "blocks": 2} if kind == "vector" else {"condition_width": 8, "blocks": 1}),
        },
        **changes,
    }  # fmt: skip
    return config_from_dict(values)


def phantoms(folder: Path, patients: int = 3) -> Path:
    """Small phantoms, whole bodies on 64×64 pixels of 6 mm; the source for `find_pairs`."""
    write_phantoms(folder, patients=patients, slices=1, size=64, pixel_mm=6.0)
    return phantom_source(folder)


def series(source: Path, dose: str = "low", patient: str = "P001-chest") -> Path:
    """The DICOM folder of one of those phantoms, as people choose it."""
    (pair,) = (pair for pair in find_pairs(source) if pair.patient_id == patient)
    chosen = pair.low_dose if dose == "low" else pair.full_dose
    return chosen.files[0].parent


def drawn(
    models: Models, slices: np.ndarray, question: Question, **options: Any
) -> tuple[list[Samples], list[Samples]]:
    """The proposals of every slice, as they are handed out when they are drawn, and its samples in the end."""
    proposals: list[Samples] = []
    final = models.sample_slab(slices, question, on_drawn=proposals.extend, **options)
    return proposals, final


def as_older(folder: Path, source: Path) -> None:
    """Make of a model set what older versions wrote: no checksums, ids of patients, parts that tell nothing."""
    from safetensors.torch import load_file, save_file

    from CTInvarianceLib.config import recognised
    from CTInvarianceLib.models import load_tensors

    for path in folder.rglob("*.safetensors"):
        facts = {"writer": '"CTInvariance"'}
        if path.parent.name == "checkpoints":
            facts["step"] = json.dumps(load_tensors(path)[1]["step"])
        save_file(load_file(path), path, facts)
    manifest = json.loads((folder / "models.json").read_text("utf-8"))
    older = {name: value for name, value in manifest.items() if name not in ("origin", "files")}
    older["patients"] = recognised(manifest, {pair.patient_id for pair in find_pairs(source)})
    (folder / "models.json").write_text(json.dumps(older), "utf-8")


def tree(folder: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: files with their content, links with where they lead, folders."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(folder.rglob("*"))
    }


def peak_memory() -> int:
    """Bytes that this process has held at most until now; 0 on Windows, which does not say it this way."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
