"""The form of a manifest, checked without pydantic, which a panel may lack: what is read from it has the right type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .names import is_name


def wrong_in(manifest: dict[str, Any]) -> str:
    """The first entry of a manifest that has not the form that it is written in; "": there is none."""
    return next((name for name, right in _entries(manifest) if not right), "")


def _entries(manifest: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Names of entries, and whether they are right; an entry is looked at when those before it are."""
    config = manifest.get("config")
    yield "config", isinstance(config, dict)
    assert isinstance(config, dict)  # nobody asks on after a wrong one
    yield "name", isinstance(config.get("name"), str)
    yield "embedding", isinstance(config.get("embedding"), dict)
    yield "patch_size", type(config["embedding"].get("patch_size")) is int
    yield "denoisers", isinstance(config.get("denoisers"), dict)
    for name, settings in config["denoisers"].items():
        yield f"the name {name[:80]!r}", is_name(name)
        yield f"denoiser {name}", isinstance(settings, dict)
        yield f"layers of {name}", _are(settings.get("layers"), list, is_name)
    yield "created", isinstance(manifest.get("created", ""), str)
    yield "library", isinstance(manifest.get("library", ""), str)
    yield "patients", _are(manifest.get("patients", {}), dict, lambda each: _are(each, list, _is_text))
    yield "origin", ("origin" in manifest) == ("files" in manifest)
    yield "origin", "origin" not in manifest or _is_origin(manifest["origin"])
    yield "files", _are(manifest.get("files", {}), dict, _is_checksum)


def _are(values: Any, kind: type[list[Any]] | type[dict[str, Any]], right: Any) -> bool:
    """Whether something is a list or a table whose entries are all right."""
    if not isinstance(values, kind):
        return False
    return all(map(right, values.values() if isinstance(values, dict) else values))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_checksum(value: Any) -> bool:
    return isinstance(value, dict) and type(value.get("bytes")) is int and _is_text(value.get("sha256"))


def _is_origin(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"run", "seed", "config", "inputs"}
        and type(value["seed"]) is int
        and all(_is_text(value[name]) for name in ("run", "config", "inputs"))
    )
