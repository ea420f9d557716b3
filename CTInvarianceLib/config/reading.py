"""Configurations from presets, files (TOML or JSON) and plain values."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ..base import ConfigError, read_text
from .checking import from_plain
from .settings import PRESETS, Config

_MOST_BYTES = 1 << 22  # a configuration that names every patient of a large collection has fewer


def preset(name: str) -> Config:
    """One of the presets that come with the library: quick, slides, reference."""
    if name not in PRESETS:
        raise ConfigError("no preset of this name", where=name, hint=f"Choose one of {', '.join(PRESETS)}.")
    text = (resources.files(__package__) / "presets" / f"{name}.toml").read_text("utf-8")
    return config_from_dict(tomllib.loads(text), where=f"preset {name}")


def read_config(path: Path | str, base: Config | None = None) -> Config:
    """A configuration file, TOML or JSON, on top of `base`; what the file does not name stays as in `base`."""
    path = Path(path)
    try:
        text = read_text(path, most=_MOST_BYTES)
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration ({error.strerror or error})", where=path) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the configuration is not valid: {error}", where=path) from error
    return customized(base, values, where=str(path)) if base else config_from_dict(values, where=str(path))


def config_from_dict(values: Mapping[str, Any], *, where: str = "configuration") -> Config:
    """A `Config` from plain values; an unknown name or a value of another type is an error that says where."""
    config = from_plain(Config, values, where)
    config.check(where)
    return config


def customized(base: Config, values: Mapping[str, Any], *, where: str = "configuration") -> Config:
    """`base` with plain values on top; what they do not name stays."""
    both = _merged(base.to_dict(), values) if isinstance(values, Mapping) else values
    return config_from_dict(both, where=where)


def _merged(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` over `base`, dictionary by dictionary."""
    result = dict(base)
    for key, value in values.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result
