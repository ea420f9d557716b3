"""A trained set: denoisers, embeddings and flows, loaded from the folder that `config.manifest` describes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ..base import LayerError, ModelsError, ModelsWarning, Progress, VolumeError, as_path, unheard
from ..config import (
    DEFAULT_TOLERANCE,
    DOMAINS,
    Config,
    Domain,
    Question,
    configuration,
    denoiser_file,
    embedding_file,
    flow_file,
    read_manifest,
    require_file,
    unrelated_file,
)
from ..denoisers import layers
from ..flow import ImageFlow, LayerFlow
from ..sampling import Samples, TrainedLayer, sample_invariances, to_hu
from ..tensors import batch_size, normalize, pick_device
from ..volumes import CTVolume, Region
from .builders import build_denoiser, build_embedding, build_flow
from .hu_embedding import HUEmbedding
from .unrelated import load_unrelated
from .weights import load_module


class Models:
    """A trained set; networks are loaded when first asked for, and kept."""

    def __init__(self, folder: Path, config: Config, manifest: dict[str, Any], device: torch.device) -> None:
        self.folder, self.config, self.manifest, self.device = folder, config, manifest, device
        self._loaded: dict[str, Any] = {}

    @classmethod
    def load(cls, folder: Path | str, *, device: str = "auto") -> Self:
        """Open a model set.

        Args:
            folder: what `train` wrote.
            device: "auto" (CUDA, else MPS, else CPU) or any torch device.

        Raises:
            ModelsError: no model set, a damaged one, or one of another version.
            DataError: an empty path.
        """
        folder = as_path(folder)
        manifest = read_manifest(folder)
        if "files" not in manifest:
            text = f"{folder}: this model set has no checksums (an older version made it): damage would not be noticed"
            warnings.warn(text, ModelsWarning, stacklevel=2)
        return cls(folder, configuration(manifest, folder), manifest, pick_device(device))

    @property
    def denoisers(self) -> list[str]:
        """Names of the denoisers in this set."""
        return list(self.config.denoisers)

    def layers(self, denoiser: str) -> list[str]:
        """Layers of a denoiser for which flows are trained in this set."""
        self._require_denoiser(denoiser)
        return list(self.config.denoisers[denoiser].layers)

    def denoiser(self, name: str) -> nn.Module:
        """A denoiser, frozen; normalised images (N, 1, H, W) in and out."""
        self._require_denoiser(name)
        return self._get(denoiser_file(name), lambda: build_denoiser(self.config.denoisers[name]))

    def embedding(self, domain: str) -> HUEmbedding:
        """The embedding of "low" or "full", in HU."""
        if domain not in DOMAINS:
            raise ModelsError(
                "no such domain", where=repr(domain), hint=f"Choose one of {', '.join(DOMAINS)}."
            )
        return HUEmbedding(
            self._get(embedding_file(domain), lambda: build_embedding(self.config)), self.device
        )

    def flow(self, denoiser: str, layer: str, domain: str) -> LayerFlow | ImageFlow:
        """The conditional flow of a layer."""
        network = self.denoiser(denoiser)
        if layer not in layers(network):
            raise LayerError(
                f"{denoiser} has no layer of this name",
                where=repr(layer),
                hint=f"Its layers are {', '.join(layers(network))}.",
            )
        if layer not in self.layers(denoiser):
            raise LayerError(
                f"no flow is trained for this layer of {denoiser}",
                where=repr(layer),
                hint=f"In this model set there are flows for {', '.join(self.layers(denoiser)) or 'none'}.",
            )
        return self._get(
            flow_file(denoiser, layer, domain), lambda: build_flow(self.config, network, layer, domain)
        )

    def unrelated(self, domain: str) -> Tensor:
        """(m, 1, H, W) normalised patches of a domain, of many places in many patients."""
        if "unrelated" not in self._loaded:
            path = require_file(self.folder, unrelated_file(), self.manifest)
            tensors = load_unrelated(path, self.config.embedding.patch_size)
            self._loaded["unrelated"] = {k: normalize(t.float().to(self.device)) for k, t in tensors.items()}
        patches: Tensor = self._loaded["unrelated"][domain]
        return patches

    def trained_layer(self, denoiser: str, layer: str, domain: str, *, flow: bool = True) -> TrainedLayer:
        """All that sampling at one layer needs, with its flow or without."""
        knows_tolerances = flow and self.config.embedding.kind == "complete"
        return TrainedLayer(
            self.denoiser(denoiser),
            layer,
            domain,
            self.embedding(domain).module,
            self.flow(denoiser, layer, domain) if flow else None,
            self.unrelated(domain),
            self.config.data.dose,
            self.config.flow.tolerances if knows_tolerances else None,
        )

    def denoise(self, volume: CTVolume, denoiser: str, *, progress: Progress = unheard) -> CTVolume:
        """Denoise slice by slice; float32 HU with the same geometry."""
        parts = list(self.denoised(volume.hu, denoiser, progress=progress))
        return volume.with_hu(np.concatenate(parts))

    @torch.inference_mode()
    def denoised(
        self, slices_hu: np.ndarray, denoiser: str, *, progress: Progress = unheard
    ) -> Iterator[np.ndarray]:
        """Slices (S, H, W), HU, denoised and handed out a few at a time, (s, H, W) float32 HU.

        Raises:
            ModelsError: no such denoiser.
            VolumeError: values that are not finite.
        """
        network = self.denoiser(denoiser)
        count, rows, columns = slices_hu.shape
        step = batch_size(rows * columns, self.device)
        for first in range(0, count, step):
            hu = slices_hu[first : first + step].astype(np.float32)
            if not np.isfinite(hu).all():
                raise VolumeError("values are NaN or infinite", where=f"slice {first} or shortly behind it")
            part = torch.from_numpy(hu).to(self.device)
            yield to_hu(network(normalize(part)[:, None])[:, 0])
            progress(min(first + step, count) / count)

    def sample(
        self,
        patch_hu: np.ndarray,
        denoiser: str,
        layer: str,
        n: int = 250,
        domain: Domain = "low",
        seed: int = 0,
        *,
        tolerance: float = DEFAULT_TOLERANCE,
        full_dose_hu: np.ndarray | None = None,
        noise_hu: np.ndarray | None = None,
        region: Region | None = None,
        tile: int | None = None,
        flow: bool = True,
        progress: Progress = unheard,
    ) -> Samples:
        """n images that the layer cannot tell from the patch.

        Args:
            patch_hu: (H, W), HU, low dose: a patch as large as those trained on, or, with a spatial embedding, of
                any size, a whole slice too.
            denoiser: name of the denoiser.
            layer: of it.
            n: number of samples.
            domain: "low" or "full": which images the samples are.
            seed: the same seed on the same device gives the same samples.
            tolerance: τ, rescans, see docs/method.md.
            full_dose_hu: (H, W), HU, the full-dose partner, where there is one.
            noise_hu: (H, W), HU, low-dose noise of this slice as a simulation makes it; not needed with a partner.
            region: the part of the patch that is sampled, the rest being what the denoiser sees around it.
            tile: sides of tiles, pixels, for a slice where memory is short; the result is the same.
            flow: whether the trained flow proposes them, see `Question`.
            progress: called after every batch.

        Raises:
            ModelsError, LayerError: no such denoiser, layer or domain.
            VolumeError: see `sampling.sample_invariances`.
        """
        (samples,) = self.sample_slab(
            np.asarray(patch_hu)[None],
            Question(denoiser, layer, n, domain, seed, tolerance, tile, flow),
            full_dose_hu=None if full_dose_hu is None else np.asarray(full_dose_hu)[None],
            noise_hu=None if noise_hu is None else np.asarray(noise_hu)[None],
            region=region,
            progress=progress,
        )
        return samples

    def sample_slab(
        self,
        slices_hu: np.ndarray,
        question: Question,
        *,
        full_dose_hu: np.ndarray | None = None,
        noise_hu: np.ndarray | None = None,
        region: Region | None = None,
        progress: Progress = unheard,
        on_drawn: Callable[[Sequence[Samples]], object] = lambda slab: None,
    ) -> list[Samples]:
        """`sample` for several slices (S, H, W) at once; slice number k has the samples of seed + k."""
        return sample_invariances(
            self.trained_layer(question.denoiser, question.layer, question.domain, flow=question.flow),
            slices_hu,
            question,
            region=region,
            full_dose_hu=full_dose_hu,
            noise_hu=noise_hu,
            progress=progress,
            on_drawn=on_drawn,
        )

    def _require_denoiser(self, name: str) -> None:
        if name not in self.config.denoisers:
            raise ModelsError(
                "the model set has no denoiser of this name",
                where=repr(name),
                hint=f"There are {', '.join(self.config.denoisers)}.",
            )

    def _get(self, file: str, build: Callable[[], Any]) -> Any:
        if file not in self._loaded:
            path = require_file(self.folder, file, self.manifest)
            with torch.inference_mode(False):  # what is loaded then could not be differentiated
                module = build()
                load_module(module, path)
                self._loaded[file] = module.to(self.device).eval().requires_grad_(False)
        return self._loaded[file]
