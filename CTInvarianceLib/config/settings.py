"""What a training run is told: frozen values, read from TOML, JSON or a preset, checked field by field."""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from ..base import ConfigError

T = typing.TypeVar("T")

DOMAINS = ("low", "full")
PRESETS = ("quick", "slides", "reference")


@dataclass(frozen=True)
class DataConfig:
    """How slices become training data.

    Attributes:
        dose: fraction of the original dose that is simulated where no low-dose series exists.
        validation: fraction of all patients that is kept apart to choose by.
        test: fraction of all patients that is kept apart for the evaluation alone.
        validation_patients: patient ids; replaces the fraction.
        test_patients: patient ids; replaces the fraction.
        skip_air: chance-drawn patches with less than a tenth of tissue are drawn again, up to four times.
        flips: patches are mirrored by chance: supine and prone, left and right.
        quarter_turns: patches are turned by chance too; no patient lies like that, but a denoiser may not care.
    """

    dose: float = 0.25
    validation: float = 0.2
    test: float = 0.0
    validation_patients: tuple[str, ...] = ()
    test_patients: tuple[str, ...] = ()
    skip_air: bool = True
    flips: bool = True
    quarter_turns: bool = False


@dataclass(frozen=True)
class EmbeddingConfig:
    """The VAE-WGAN of one domain; see docs/method.md for where the figures come from.

    Attributes:
        kind: "spatial", a grid of small vectors for images of any size, or "vector", one vector for a patch.
        patch_size: pixels; a multiple of 16 ("vector") or of `factor` ("spatial").
        latent_dim: "vector": numbers that stand for a patch.
        factor: "spatial": pixels of the sides of a cell of the grid.
        channels: "spatial": numbers in a cell.
        blocks: "spatial": residual blocks of the encoder, and of the decoder.
        width: channels of the finest feature maps.
        guide: a denoiser whose output the decoder sees too, as in the reference code; "": none. Only that
            denoiser's layers can then be sampled.
        principal_patches: patches from which the linear start is computed.
        reconstruction_weight: of the L1 norm, summed over pixels, in normalised units.
        kl_weight: of the KL divergence, nats.
        perceptual: "vgg19", or "none".
        critic: "patch", which judges an image of any size piece by piece, or "dense", which judges it as a whole.
        critic_from: fraction of the steps after which the WGAN critic takes part; 1 switches it off.
        critic_every: steps between two turns of the critic.
    """

    kind: Literal["spatial", "vector"] = "spatial"
    patch_size: int = 128
    latent_dim: int = 256
    factor: int = 4
    channels: int = 8
    blocks: int = 3
    width: int = 48
    guide: str = ""
    principal_patches: int = 256
    steps: int = 400
    batch_size: int = 16
    learning_rate: float = 2e-3
    reconstruction_weight: float = 10.0
    kl_weight: float = 0.01
    adversarial_weight: float = 10.0
    perceptual: Literal["vgg19", "none"] = "none"
    perceptual_weight: float = 0.0
    critic: Literal["patch", "dense"] = "patch"
    critic_width: int = 16
    critic_from: float = 1.0
    critic_every: int = 2


@dataclass(frozen=True)
class DenoiserConfig:
    """One denoiser: trained, or loaded from a file.

    Attributes:
        architecture: a name in `CTInvarianceLib.denoisers.DENOISERS`.
        arguments: keyword arguments of the architecture, such as last_kernel.
        weights: a safetensors file; no training then.
        layers: those that get a flow.
        start: "random" as published, or "identity": f(x) = x, which trains in minutes but keeps, in two channels
            of every layer, a path that the image can take past the rest.
        loss: "l2", "wgan-vgg", or "none" for an architecture without parameters.
        perceptual: features that the WGAN-VGG loss compares: "vgg19", or "embedding" (encoder of the full-dose VAE).
        perceptual_norm: "l1" as in ldct-benchmark, or "mse" as in the paper.
        critic_steps: turns of the critic for one of the denoiser.
    """

    architecture: str
    arguments: dict[str, int] = field(default_factory=dict)
    weights: str = ""
    layers: tuple[str, ...] = ()
    start: Literal["random", "identity"] = "random"
    loss: Literal["l2", "wgan-vgg", "none"] = "l2"
    patch_size: int = 33
    steps: int = 400
    batch_size: int = 64
    learning_rate: float = 1e-3
    perceptual: Literal["vgg19", "embedding"] = "vgg19"
    perceptual_norm: Literal["l1", "mse"] = "mse"
    perceptual_weight: float = 0.1
    critic_width: int = 64
    critic_steps: int = 4


@dataclass(frozen=True)
class FlowConfig:
    """One conditional flow for every denoiser, layer and domain.

    Attributes:
        patches: drawn once; their latents and conditions are kept in memory.
        components: principal components kept of every block of z.
        regressed: how many of these the latent's linear part is predicted from.
        neighbourhood: grids: sides of the neighbourhood, in cells, that the linear part looks at.
        condition_dim: vectors: numbers that the condition network makes of the components.
        condition_width: its channels.
        levels: grids: scales of the flow.
        blocks: of the flow; grids: of each level.
    """

    patches: int = 512
    components: int = 32
    regressed: int = 32
    neighbourhood: int = 3
    condition_dim: int = 128
    condition_width: int = 32
    levels: int = 2
    blocks: int = 6
    hidden: int = 64
    steps: int = 300
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4


@dataclass(frozen=True)
class Config:
    """A whole run.

    Attributes:
        vgg19: path of torchvision's vgg19-dcbb9e9d.pth, or "download"; needed where perceptual is "vgg19".
        accelerator: as Lightning Fabric names it: "auto", "cpu", "cuda", "mps".
        precision: as Lightning Fabric names it: "32-true", "bf16-mixed", …
    """

    name: str = "custom"
    seed: int = 0
    accelerator: str = "auto"
    precision: str = "32-true"
    vgg19: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    denoisers: dict[str, DenoiserConfig] = field(default_factory=dict)
    flow: FlowConfig = field(default_factory=FlowConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, strings and numbers, as JSON keeps them."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain


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
        text = path.read_text("utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration ({error.strerror})", where=path) from error
    except ValueError as error:
        raise ConfigError(f"the configuration is not valid: {error}", where=path) from error
    return config_from_dict(_merged(base.to_dict() if base else {}, values), where=str(path))


def config_from_dict(values: Mapping[str, Any], *, where: str = "configuration") -> Config:
    """A `Config` from plain values; an unknown name or a value of another type is an error that says where."""
    return from_plain(Config, values, where)


def customized(base: Config, values: Mapping[str, Any], *, where: str = "configuration") -> Config:
    """`base` with plain values on top; what they do not name stays."""
    return config_from_dict(_merged(base.to_dict(), values), where=where)


def _merged(base: Mapping[str, Any], values: Any) -> dict[str, Any]:
    """`values` over `base`, dictionary by dictionary."""
    result = dict(base)
    for key, value in dict(values).items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result


def from_plain(kind: type[T], value: Any, where: str) -> T:
    """`value`, as JSON or TOML have it, as an instance of an annotated dataclass.

    Raises:
        ConfigError: a field that is missing, unknown, or of another type.
    """
    return typing.cast(T, _build(kind, value, where))


def _build(kind: Any, value: Any, where: str) -> Any:
    """`value` as an instance of the annotated type `kind`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if origin is dict and isinstance(value, Mapping):
        return {str(k): _build(arguments[1], v, f"{where}, {k}") for k, v in value.items()}
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_build(arguments[0], v, where) for v in value)
    if origin is Literal:
        if value in arguments:
            return value
        raise ConfigError(
            f"{value!r} is not possible",
            where=where,
            hint=f"Choose one of {', '.join(map(repr, arguments))}.",
        )
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = isinstance(kind, type) and not isinstance(kind, types.GenericAlias)
    if kind is Any or (plain and type(value) is kind):
        return value
    raise ConfigError(f"{value!r} is not a {getattr(kind, '__name__', kind)}", where=where)


def _build_dataclass(kind: Any, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{values!r} is not a table of settings", where=where)
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(
            f"no setting named {', '.join(unknown)}", where=where, hint=f"There are {', '.join(hints)}."
        )
    required = [
        f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in required if name not in values]
    if missing:
        raise ConfigError(f"{', '.join(missing)} is missing", where=where)
    return kind(**{name: _build(hints[name], v, f"{where}, {name}") for name, v in values.items()})
