"""What a training run is told: frozen values."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from ..base import ConfigError
from .bounds import AtMost, Within, check_bounds
from .checking import Plain
from .names import flow_file, require_name

Domain = Literal["low", "full"]
DOMAINS: tuple[Domain, ...] = ("low", "full")
PRESETS = ("quick", "standard", "slides", "reference")

Fraction = Annotated[float, Within(0, 0.9, "somebody has to be left to train with")]
Dose = Annotated[float, Within(1e-3, 0.99, "a fraction of the full dose, less than all of it")]
Seed = Annotated[int, Within(0, 2**62, "generators take 64 bits, and slices count up from it")]
Side = Annotated[int, Within(1, 1024, "pixels; CT slices have 512, at most 1024 rows")]
Steps = Annotated[int, Within(1, 10**8, "more would take years")]
Patches = Annotated[int, Within(1, 10**6, "all of them are kept in memory")]
Batch = Annotated[int, Within(1, 4096, "a batch goes through a network at once")]
Width = Annotated[int, Within(1, 8192, "weights grow with its square, 8192 make a quarter of a gigabyte")]
Depth = Annotated[int, Within(1, 64, "each has weights of its own")]
Turns = Annotated[int, Within(1, 1000, "a step would take minutes")]
Pause = Annotated[int, Within(0, 10**8, "steps")]
Patience = Annotated[int, Within(0, 1000, "validations")]
Rate = Annotated[float, Within(1e-9, 1, "steps of the optimiser")]
Weight = Annotated[float, Within(0, 1e9, "a share of the loss")]
Range = Annotated[tuple[float, float], Within(1e-3, 1e3, "factors around 1")]
Layers = Annotated[tuple[str, ...], AtMost(64, "each gets two flows")]
Ids = Annotated[tuple[str, ...], AtMost(10**5, "patient ids")]
Text = Annotated[str, AtMost(4096, "characters")]


@dataclass(frozen=True)
class DataConfig(Plain):
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

    dose: Dose = 0.25
    validation: Fraction = 0.2
    test: Fraction = 0.0
    validation_patients: Ids = ()
    test_patients: Ids = ()
    skip_air: bool = True
    flips: bool = True
    quarter_turns: bool = False


@dataclass(frozen=True)
class EmbeddingConfig(Plain):
    """The VAE-WGAN of one domain; see docs/method.md for where the figures come from.

    Attributes:
        kind: "complete", as many numbers as pixels; "spatial", a grid of small vectors for images of any size; or
            "vector", one vector for a patch. Only the latter two are trained: the rest is theirs but for the factor.
        patch_size: pixels; a multiple of 16 ("vector") or of `factor`.
        latent_dim: "vector": numbers that stand for a patch.
        factor: "complete", "spatial": pixels of the sides of a cell of the grid.
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
        critic_rate: the critic's learning rate, relative to the embedding's.
    """

    kind: Literal["complete", "spatial", "vector"] = "complete"
    patch_size: Side = 128
    latent_dim: Width = 256
    factor: Annotated[int, Within(1, 64, "pixels of a cell, of which a patch has several")] = 4
    channels: Width = 8
    blocks: Depth = 3
    width: Width = 48
    guide: Text = ""
    principal_patches: Patches = 256
    steps: Steps = 400
    batch_size: Batch = 16
    learning_rate: Rate = 2e-3
    reconstruction_weight: Weight = 10.0
    kl_weight: Weight = 0.01
    adversarial_weight: Weight = 10.0
    perceptual: Literal["vgg19", "none"] = "none"
    perceptual_weight: Weight = 0.0
    critic: Literal["patch", "dense"] = "patch"
    critic_width: Annotated[int, Within(1, 512, "the critic has up to four times as many channels")] = 16
    critic_from: Annotated[float, Within(0, 1, "a fraction of the steps")] = 1.0
    critic_every: Steps = 2
    critic_rate: Annotated[float, Within(1e-3, 1e3, "a factor")] = 0.5


@dataclass(frozen=True)
class DenoiserConfig(Plain):
    """One denoiser: trained, or loaded from a file.

    Attributes:
        architecture: a name in `CTInvarianceLib.denoisers.DENOISERS`.
        arguments: keyword arguments of the architecture, such as last_kernel.
        weights: a safetensors file; no training then.
        layers: those that get a flow.
        start: "random" as published, or "identity": f(x) = x, which trains in minutes but keeps, in two channels
            of every layer, a path that the image can take past the rest.
        loss: "l2", "wgan-vgg", or "none" for an architecture without parameters.
        perceptual: features that the WGAN-VGG loss compares: "vgg19"; "ct", of an encoder trained on the full-dose CT
            itself (`EncoderConfig`); "vgg19 or ct", the former where `vgg19` is given (a model set says which it was);
            or "embedding", the encoder of the full-dose domain.
        perceptual_norm: "l1" as in ldct-benchmark, or "mse" as in the paper.
        critic_steps: turns of the critic for one of the denoiser.
        margin: pixels around a patch that the denoiser sees and no loss does: with as many as it reaches, it learns
            inside images only. At a patch's border it sees the zeros that its convolutions are padded with.
        validate_every: steps between two validations, after which the weights of the lowest loss remain; 0: none, the
            last ones remain.
        patience: validations without a fall after which the learning rate goes down to 0 and the training ends, before
            `steps` if need be; 0: it goes down all the way, as a cosine, over `steps`.
        average: decay, per step, of an exponential average of the weights, which is then what remains; 0: none.
    """

    architecture: Text
    arguments: Annotated[dict[str, int], AtMost(16, "arguments of an architecture")] = field(
        default_factory=dict
    )
    weights: Text = ""
    layers: Layers = ()
    start: Literal["random", "identity"] = "random"
    loss: Literal["l2", "wgan-vgg", "none"] = "l2"
    patch_size: Side = 33
    steps: Steps = 400
    batch_size: Batch = 64
    learning_rate: Rate = 1e-3
    perceptual: Literal["vgg19", "ct", "vgg19 or ct", "embedding"] = "vgg19"
    perceptual_norm: Literal["l1", "mse"] = "mse"
    perceptual_weight: Weight = 0.1
    critic_width: Annotated[int, Within(1, 512, "the critic has up to four times as many channels")] = 64
    critic_steps: Turns = 4
    margin: Annotated[int, Within(0, 256, "pixels; the networks here reach 16 at most")] = 0
    validate_every: Pause = 0
    patience: Patience = 0
    average: Annotated[float, Within(0, 0.99999, "one step has to count for something")] = 0.0

    def learns_from(self, perceptual: str) -> bool:
        """Whether its training compares such features."""
        return self.loss == "wgan-vgg" and not self.weights and self.perceptual == perceptual


@dataclass(frozen=True)
class EncoderConfig(Plain):
    """An autoencoder of full-dose CT, whose features a perceptual loss compares; trained where one is "ct".

    Attributes:
        width: channels of its finest maps.
        channels: numbers of its code for every 4×4 pixels; with 16 it would leave nothing out.
        scale: standard deviation that its features are given, over training patches: with 100 and a weight of 0.1, an
            error of 28 HU moves a denoiser about as much as the critic does (measured).
        patch_size: pixels; a multiple of 4.
        validate_every: as in `DenoiserConfig`, like what follows.
    """

    width: Width = 32
    channels: Width = 8
    scale: Weight = 100.0
    patch_size: Side = 64
    steps: Steps = 3000
    batch_size: Batch = 16
    learning_rate: Rate = 1e-3
    validate_every: Pause = 100
    patience: Patience = 8


@dataclass(frozen=True)
class FlowConfig(Plain):
    """One conditional flow for every denoiser, layer and domain.

    Attributes:
        patches: drawn in all.
        at_once: of them, looked at together and kept in memory; when the steps that are theirs are done, the next ones
            take their place.
        validate_every: steps between two validations, after which the weights of the lowest loss remain; 0: none, the
            last ones remain.
        patience: validations without a fall after which the learning rate goes down to 0 and the training ends.
        components: principal components kept of every block of z.
        regressed: how many of these the latent's linear part is predicted from.
        neighbourhood: grids: sides of the neighbourhood, in cells, that the linear part looks at.
        condition_dim: vectors: numbers that the condition network makes of the components.
        condition_width: its channels.
        levels: grids: scales of the flow.
        blocks: of the flow; grids: of each level.
        kernels: "complete": the range of what patches are multiplied with at the Nyquist frequency, as if other kernels
            had made them: few patients have few kernels, and a flow is to know others.
        noises: "complete": likewise, of the noise that only the low dose has.
        patch_size: "complete": pixels of the patches' sides, smaller than the embedding's: many places teach more than
            large ones.
        tolerances: "complete": the range of tolerances, in rescans, that a flow is trained for.
    """

    patches: Annotated[int, Within(1, 10**9, "more than there are places in all CT of a hospital")] = 512
    at_once: Patches = 4096
    validate_every: Annotated[int, Within(0, 10**8, "steps")] = 0
    patience: Annotated[int, Within(0, 1000, "validations")] = 0
    components: Width = 32
    regressed: Width = 32
    neighbourhood: Annotated[int, Within(1, 31, "cells around a cell")] = 3
    condition_dim: Width = 128
    condition_width: Width = 32
    levels: Annotated[int, Within(1, 6, "each halves the resolution and doubles the channels")] = 2
    blocks: Depth = 6
    patch_size: Side = 64
    tolerances: Range = (0.1, 2.0)
    kernels: Range = (0.4, 2.0)
    noises: Range = (0.7, 1.4)
    hidden: Width = 64
    steps: Steps = 300
    batch_size: Batch = 8
    learning_rate: Rate = 2e-3
    weight_decay: Weight = 1e-4


@dataclass(frozen=True)
class Config(Plain):
    """A whole run.

    Attributes:
        vgg19: path of torchvision's vgg19-dcbb9e9d.pth, or "download"; needed where perceptual is "vgg19".
        accelerator: as Lightning Fabric names it: "auto", "cpu", "cuda", "mps".
        precision: as Lightning Fabric names it: "32-true", "bf16-mixed", …
    """

    name: Annotated[str, AtMost(200, "characters")] = "custom"
    seed: Seed = 0
    accelerator: Text = "auto"
    precision: Text = "32-true"
    vgg19: Text = ""
    data: DataConfig = field(default_factory=DataConfig)
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    denoisers: Annotated[dict[str, DenoiserConfig], AtMost(32, "each is trained")] = field(
        default_factory=dict
    )
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)

    @property
    def needs_encoder(self) -> bool:
        """Whether a denoiser that is to be trained compares features of CT's own encoder."""
        return any(each.learns_from("ct") for each in self.denoisers.values())

    def decided(self) -> Config:
        """The same with what hangs on other settings decided: "vgg19 or ct"."""
        perceptual: Literal["vgg19", "ct"] = "vgg19" if self.vgg19 else "ct"
        denoisers = {
            name: dataclasses.replace(each, perceptual=perceptual)
            if each.perceptual == "vgg19 or ct"
            else each
            for name, each in self.denoisers.items()
        }
        return dataclasses.replace(self, denoisers=denoisers)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, strings and numbers, as JSON keeps them."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return plain

    def check(self, where: str = "configuration") -> None:
        """What no type says: numbers within their bounds, names that may be file names, and files of their own.

        Raises:
            ConfigError: names the first setting that is not possible, and why.
        """
        check_bounds(self, where)
        for name, (least, most) in {
            "tolerances": self.flow.tolerances, "kernels": self.flow.kernels, "noises": self.flow.noises
        }.items():  # fmt: skip
            if least > most:
                raise ConfigError(
                    f"from {least:g} to {most:g} there is nothing", where=f"{where}, flow, {name}"
                )
        if self.data.validation + self.data.test > 0.9:
            raise ConfigError(
                "nobody is left to train with", where=f"{where}, data", hint="Keep fewer apart."
            )
        patient: dict[str, DenoiserConfig | EncoderConfig | FlowConfig] = {
            **self.denoisers, "encoder": self.encoder, "flow": self.flow
        }  # fmt: skip
        for name, each in patient.items():
            if each.patience and not each.validate_every:
                raise ConfigError(
                    "without validation nobody knows what to be patient for",
                    where=f"{where}, {name}, patience",
                    hint="Give validate_every, too.",
                )
        if self.encoder.patch_size % 4:
            raise ConfigError(
                "the encoder halves patches twice",
                where=f"{where}, encoder, patch_size",
                hint="Take a multiple of 4.",
            )
        for name, denoiser in self.denoisers.items():
            if denoiser.learns_from("ct") and denoiser.patch_size % 4:
                raise ConfigError(
                    "the encoder whose features are compared halves patches twice",
                    where=f"{where}, denoisers, {name}, patch_size",
                    hint="Take a multiple of 4.",
                )
        self._check_names(f"{where}, denoisers")

    def _check_names(self, where: str) -> None:
        files: set[str] = set()
        for name, settings in self.denoisers.items():
            require_name(name, where)
            for layer in settings.layers:
                require_name(layer, f"{where}, {name}, layers")
            own = [f"{name}/", *(flow_file(name, layer, "low") for layer in settings.layers)]
            for file in (each.casefold() for each in own):  # as Windows and macOS tell names apart
                if file in files:
                    raise ConfigError(
                        "two denoisers or layers would have the same file",
                        where=f"{where}, {name}",
                        hint="Give them names that differ by more than capitals, and every layer once.",
                    )
                files.add(file)
