"""Weight files: safetensors only, written whole or not at all, checked name by name when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..base import WeightsError, writing

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"  # torch.save's archive, and a bare pickle
_FLOATS = ("F64", "F32", "F16", "BF16")
_EXACT = {torch.bool: "BOOL", torch.uint8: "U8", torch.int16: "I16", torch.int32: "I32", torch.int64: "I64"}
_DIGEST = "sha256"  # of the content, in the metadata


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself; nothing of its tensors is read.

    Attributes:
        shapes: name -> dtype, as the format names it, and shape.
        metadata: what it was saved with.
    """

    shapes: dict[str, tuple[str, tuple[int, ...]]]
    metadata: dict[str, Any]


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write tensors and a digest of them; the file appears under its name only when it is complete."""
    contiguous = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # Without tensors, the file is readable only if there is metadata.
    facts = {"writer": "CTInvariance", **(metadata or {}), _DIGEST: _digest(contiguous)}
    with writing(path) as part:
        # save_file would keep the file from everybody else
        part.write_bytes(save(contiguous, {key: json.dumps(value) for key, value in facts.items()}))


def read_header(path: Path) -> Header:
    """Names, types, shapes and metadata of a safetensors file.

    Raises:
        WeightsError: see `load_tensors`.
    """
    with _opened(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        shapes = {name: (str(each.get_dtype()), tuple(each.get_shape())) for name, each in slices.items()}
        return Header(shapes, _metadata(file))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        WeightsError: no such file, damaged, or a pickle, which is never opened.
    """
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        metadata = _metadata(file)
    if metadata.pop(_DIGEST, None) not in (None, _digest(tensors)):
        raise WeightsError(
            "the file is damaged: it has not the digest that it was saved with",
            where=path,
            hint="Copy it again; or delete it, and `ctinvariance train … --resume` makes it anew.",
        )
    return tensors, metadata


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, opened; whatever is wrong with it until it is closed becomes one error."""
    if path.exists() and not path.is_file():
        raise WeightsError("cannot read the weights (this is no file)", where=path)
    try:
        with path.open("rb") as start:
            begins = start.read(9)
    except OSError as error:
        raise WeightsError(f"cannot read the weights ({error.strerror})", where=path) from error
    # A safetensors file begins with a length of eight bytes, of which the first may be that of a pickle.
    if begins.startswith(_ZIP) or (begins.startswith(_PICKLE) and begins[8:] != b"{"):
        raise WeightsError(
            "this is a pickle, which could run any code and is never opened",
            where=path,
            hint="Ask for the weights as safetensors (safetensors.torch.save_file(state_dict, path)).",
        )
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise WeightsError(f"this is no readable safetensors file ({error})", where=path) from error


def _metadata(file: Any) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in (file.metadata() or {}).items()}


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_module(module: nn.Module, path: Path) -> None:
    """Fill a module from a safetensors file.

    Raises:
        WeightsError: names the first parameter that is missing, too much, of another type or shape, or not finite.
    """
    # By the header first: a file that does not fit may be larger than the memory.
    _require_fit(module, read_header(path).shapes, where=path)
    tensors, _ = load_tensors(path)
    fill_module(module, tensors, where=path)


def fill_module(module: nn.Module, tensors: Mapping[str, Tensor], *, where: object) -> None:
    """Fill a module from named tensors; see `load_module` for the errors."""
    shapes = {name: (_dtype(tensor), tuple(tensor.shape)) for name, tensor in tensors.items()}
    _require_fit(module, shapes, where=where)
    for name, expected in module.state_dict().items():
        given = tensors[name].to(expected.dtype)  # of more digits than ours it may be too large
        if expected.is_floating_point() and not torch.isfinite(given).all():
            raise WeightsError(f"the parameter {name} holds values that are not finite", where=where)
        if _is_order(expected) and not _is_order(given):
            raise WeightsError(f"the parameter {name} is no order of {len(given)} channels", where=where)
    module.load_state_dict(dict(tensors))


def _require_fit(
    module: nn.Module, shapes: Mapping[str, tuple[str, tuple[int, ...]]], *, where: object
) -> None:
    expected = module.state_dict()
    for name in sorted(set(expected) | set(shapes)):
        if name not in shapes:
            raise WeightsError(f"the parameter {name} is missing", where=where, hint=_fits_what(module))
        if name not in expected:
            raise WeightsError(
                f"the parameter {name[:200]} belongs to another network", where=where, hint=_fits_what(module)
            )
        dtype, shape = shapes[name]
        if expected[name].shape != shape:
            raise WeightsError(
                f"the parameter {name} has shape {shape} instead of {tuple(expected[name].shape)}",
                where=where,
                hint=_fits_what(module),
            )
        if dtype not in (_FLOATS if expected[name].is_floating_point() else (_dtype(expected[name]),)):
            raise WeightsError(
                f"the parameter {name} is of type {dtype} instead of {_dtype(expected[name])}",
                where=where,
                hint=_fits_what(module),
            )


def _dtype(tensor: Tensor) -> str:
    """A dtype as safetensors names it; what no network of ours has, as torch does."""
    if tensor.is_floating_point():
        return "BF16" if tensor.dtype == torch.bfloat16 else f"F{8 * tensor.element_size()}"
    return _EXACT.get(tensor.dtype, str(tensor.dtype))


def _is_order(tensor: Tensor) -> bool:
    """Whether it is a permutation, as some bijections keep one."""
    if tensor.dtype != torch.int64 or tensor.ndim != 1:
        return False
    return torch.equal(tensor.sort().values.cpu(), torch.arange(len(tensor)))


def _fits_what(module: nn.Module) -> str:
    return f"The file must hold the weights of a {type(module).__name__} with the same settings."
