"""Weight files: safetensors only, written whole or not at all, checked name by name when read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..base import WeightsError, writing

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"  # torch.save's archive, and a bare pickle


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write tensors; the file appears under its name only when it is complete."""
    contiguous = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # Without tensors, the file is readable only if there is metadata.
    texts = {key: json.dumps(value) for key, value in {"writer": "CTInvariance", **(metadata or {})}.items()}
    with writing(path) as part:
        part.write_bytes(save(contiguous, texts))  # save_file would keep the file from everybody else


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        WeightsError: no such file, damaged, or a pickle, which is never opened.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise WeightsError(f"cannot read the weights ({error.strerror})", where=path) from error
    # A safetensors file begins with a length of eight bytes, of which the first may be that of a pickle.
    if start.startswith(_ZIP) or (start.startswith(_PICKLE) and start[8:] != b"{"):
        raise WeightsError(
            "this is a pickle, which could run any code and is never opened",
            where=path,
            hint="Ask for the weights as safetensors (safetensors.torch.save_file(state_dict, path)).",
        )
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    except (SafetensorError, ValueError, OSError) as error:
        raise WeightsError(f"this is no readable safetensors file ({error})", where=path) from error
    return tensors, metadata


def load_module(module: nn.Module, path: Path) -> None:
    """Fill a module from a safetensors file.

    Raises:
        WeightsError: names the first parameter that is missing, too much, or of another shape.
    """
    tensors, _ = load_tensors(path)
    fill_module(module, tensors, where=path)


def fill_module(module: nn.Module, tensors: Mapping[str, Tensor], *, where: object) -> None:
    """Fill a module from named tensors; see `load_module` for the errors."""
    expected = module.state_dict()
    for name in sorted(set(expected) | set(tensors)):
        if name not in tensors:
            raise WeightsError(f"the parameter {name} is missing", where=where, hint=_fits_what(module))
        if name not in expected:
            raise WeightsError(
                f"the parameter {name} belongs to another network", where=where, hint=_fits_what(module)
            )
        if expected[name].shape != tensors[name].shape:
            shapes = f"{tuple(tensors[name].shape)} instead of {tuple(expected[name].shape)}"
            raise WeightsError(
                f"the parameter {name} has shape {shapes}", where=where, hint=_fits_what(module)
            )
        if tensors[name].is_floating_point() and not torch.isfinite(tensors[name]).all():
            raise WeightsError(f"the parameter {name} holds values that are not finite", where=where)
    module.load_state_dict(dict(tensors))


def _fits_what(module: nn.Module) -> str:
    return f"The file must hold the weights of a {type(module).__name__} with the same settings."
