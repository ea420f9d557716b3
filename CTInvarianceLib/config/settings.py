"""What a training run is told: frozen values."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from .checking import Plain

Domain = Literal["low", "full"]
DOMAINS: tuple[Domain, ...] = ("low", "full")
PRESETS = ("quick", "slides", "reference")


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

    dose: float = 0.25
    validation: float = 0.2
    test: float = 0.0
    validation_patients: tuple[str, ...] = ()
    test_patients: tuple[str, ...] = ()
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
    """

    kind: Literal["complete", "spatial", "vector"] = "complete"
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
class FlowConfig(Plain):
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
        kernels: "complete": the range of what patches are multiplied with at the Nyquist frequency, as if other kernels
            had made them: few patients have few kernels, and a flow is to know others.
        noises: "complete": likewise, of the noise that only the low dose has.
        patch_size: "complete": pixels of the patches' sides, smaller than the embedding's: many places teach more than
            large ones.
        tolerances: "complete": the range of tolerances, in rescans, that a flow is trained for.
    """

    patches: int = 512
    components: int = 32
    regressed: int = 32
    neighbourhood: int = 3
    condition_dim: int = 128
    condition_width: int = 32
    levels: int = 2
    blocks: int = 6
    patch_size: int = 64
    tolerances: tuple[float, float] = (0.1, 2.0)
    kernels: tuple[float, float] = (0.4, 2.0)
    noises: tuple[float, float] = (0.7, 1.4)
    hidden: int = 64
    steps: int = 300
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4


@dataclass(frozen=True)
class Config(Plain):
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
