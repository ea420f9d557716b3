"""Embeddings side by side: trained for the same time on the same patients, measured on one that none has seen.

python benchmarks/embeddings.py --data FOLDER --models RUN [--seconds 40] [--only NAME …] [--flows NAME …] [--out FILE]

RUN is a model set trained on that data: its Yang denoiser is the one whose layers are cut, its validation patient is
the unseen one. Every embedding gets the same seconds of training for each domain and goes through the whole pipeline:
three flows, samples, R. MONAI's AutoencoderKL is trained by the same loop and measured as an embedding only. Prints a
Markdown table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from monai.networks.nets import AutoencoderKL
from torch import Tensor, nn

from CTInvarianceLib.base import Reporter
from CTInvarianceLib.config import DOMAINS, Config, config_from_dict, preset
from CTInvarianceLib.data import Patches, load_patients, store_at
from CTInvarianceLib.embedding import Embedding, Posterior, kl_divergence
from CTInvarianceLib.models import Models, build_flow
from CTInvarianceLib.report import at_half_nyquist, edge_transfer, spectrum_kept, tissue_rmse
from CTInvarianceLib.sampling import TrainedLayer, draw
from CTInvarianceLib.sources import find_pairs
from CTInvarianceLib.tensors import PrincipalComponents, denormalize, normalize
from CTInvarianceLib.training import (
    LatentSource,
    Run,
    make_fabric,
    plan_work,
    train_embedding,
    train_flows,
)
from CTInvarianceLib.trust import consistency
from CTInvarianceLib.volumes import Region

SPATIAL = {"kind": "spatial", "width": 48, "blocks": 3, "batch_size": 16, "learning_rate": 2e-3}
VECTOR = {
    "kind": "vector", "width": 32, "batch_size": 32, "learning_rate": 1e-3, "reconstruction_weight": 10.0,
    "principal_patches": 3000,
}  # fmt: skip
GRID_FLOW = {
    **dataclasses.asdict(preset("quick").flow), "patches": 384, "blocks": 4, "steps": 120, "batch_size": 8,
    "learning_rate": 5e-3,
}  # fmt: skip
VECTOR_FLOW = {
    "patches": 1536, "components": 32, "regressed": 16, "condition_dim": 64, "condition_width": 16, "blocks": 6,
    "hidden": 192, "steps": 100, "batch_size": 128, "learning_rate": 1e-3,
}  # fmt: skip
CANDIDATES: dict[str, dict[str, Any]] = {
    **{f"vector {d}": VECTOR | {"latent_dim": d} for d in (128, 256, 512)},
    **{f"spatial f 4, {c} channels": SPATIAL | {"factor": 4, "channels": c} for c in (2, 4, 8, 16)},
    **{f"spatial f 8, {c} channels": SPATIAL | {"factor": 8, "channels": c, "width": 96} for c in (4, 8, 16)},
    "spatial f 4, 8 channels, guided": SPATIAL | {"channels": 8, "guide": "yang"},
    "spatial f 4, 8 channels, critic": SPATIAL | {"channels": 8, "critic_from": 0.5},
}
LAYERS = ("1", "4", "8")
SAMPLES, PATCH, PATCHES, DRAWN = 250, 128, 6, 16
THREADS = 2


class MonaiEmbedding(Embedding):
    """MONAI's AutoencoderKL behind our interface, f = 4, 8 channels; it has no linear start."""

    kind, fixed_size, guided = "monai", False, False

    def __init__(self, patch_size: int) -> None:
        super().__init__()
        self.patch_size, self.factor, self.latent_channels = patch_size, 4, 8
        self.net = AutoencoderKL(
            spatial_dims=2, in_channels=1, out_channels=1, latent_channels=8, channels=(32, 64, 64), num_res_blocks=1,
            attention_levels=(False,) * 3, with_encoder_nonlocal_attn=False, with_decoder_nonlocal_attn=False,
        )  # fmt: skip

    def latent_shape_of(self, rows: int, columns: int) -> tuple[int, ...]:
        return 8, rows // 4, columns // 4

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = self.net.encode(x)
        return mean, 2 * std.log()

    def decode(self, latent: Tensor, guide: Tensor | None = None) -> Tensor:
        return self.net.decode(latent)

    def features(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def linear_samples(self, x: Tensor) -> Tensor:
        return x[:64].flatten(1)[:, :64]

    def start_from(self, components: PrincipalComponents, noise: float) -> None:
        """Nothing in it is known in closed form."""

    def linear_parameters(self) -> list[nn.Parameter]:
        return []


class Bench:
    """Patients, a trained denoiser, and what is asked of every embedding."""

    def __init__(self, data: str, models: Models, seconds: float) -> None:
        self.seconds, base = seconds, models.config
        patients = load_patients(find_pairs(data), base.data, seed=base.seed, store=store_at(None))
        kept = models.manifest["patients"]["validation"]
        self.training = Patches([p for p in patients if p.patient_id not in kept])
        self.unseen = next(p for p in patients if p.patient_id in kept)
        self.validation = Patches([self.unseen])
        self.base = dataclasses.replace(
            base, denoisers={"yang": dataclasses.replace(base.denoisers["yang"], layers=LAYERS)}
        )
        self.denoiser = models.denoiser("yang")

    def run(self, config: Config) -> Run:
        folder = Path(tempfile.mkdtemp())
        report = Reporter(lambda event: None, plan_work(config))
        return Run(
            config,
            folder,
            make_fabric(config),
            report,
            self.training,
            self.validation,
            {"run": "a benchmark"},
        )

    def config(self, embedding: dict[str, Any]) -> Config:
        """As many steps of the embedding as fit into the seconds."""
        flow = VECTOR_FLOW if embedding["kind"] == "vector" else GRID_FLOW
        plain = self.base.to_dict() | {"flow": flow}
        seconds = {}
        for steps in (2, 10):
            config = config_from_dict(plain | {"embedding": embedding | {"steps": steps}})
            start = time.perf_counter()
            train_embedding(self.run(config), "low", self.guide(config))
            seconds[steps] = time.perf_counter() - start
        steps = round(self.seconds * 8 / (seconds[10] - seconds[2]))
        return config_from_dict(plain | {"embedding": embedding | {"steps": max(20, steps)}})

    def guide(self, config: Config) -> nn.Module | None:
        """The denoiser that the decoder sees, where the configuration asks for one."""
        return self.denoiser if config.embedding.guide else None

    def measure(self, config: Config, name: str, *, flows: bool) -> dict[str, Any]:
        run = self.run(config)
        embeddings = {}
        for domain in DOMAINS:
            start = time.perf_counter()
            embeddings[domain] = train_embedding(run, domain, self.guide(config))
            print(f"{name}: {domain} in {time.perf_counter() - start:.0f} s", flush=True)
        row: dict[str, Any] = {"embedding": name, "steps": config.embedding.steps}
        row["numbers_per_pixel"] = math.prod(embeddings["low"].latent_shape) / PATCH**2
        row |= self.reconstruction(embeddings["full"], self.unseen.full_dose)
        row["low_soft_rmse_hu"] = self.reconstruction(embeddings["low"], self.unseen.low_dose)[
            "rmse soft tissue"
        ]
        row |= self.decoding(embeddings["low"])
        return row | self.flows(run, embeddings) if flows else row

    @torch.inference_mode()
    def reconstruction(self, embedding: Embedding, slices: np.ndarray) -> dict[str, float]:
        """Of all slices of the unseen patient, as patches where the embedding takes nothing else."""
        x = normalize(torch.from_numpy(slices.astype(np.float32)))[:, None]
        count, _, rows, columns = x.shape
        if embedding.fixed_size:
            x = x.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).reshape(-1, 1, PATCH, PATCH)
        posteriors = [embedding.encode(part) for part in x.split(16)]
        guides: list[tuple[Tensor, ...]] = [()] * len(posteriors)
        if embedding.guided:
            low = normalize(torch.from_numpy(self.unseen.low_dose.astype(np.float32)))[:, None]
            guides = [(self.denoiser(part),) for part in low.split(16)]
        decoded = torch.cat(
            [embedding.decode(p.mean, *guide) for p, guide in zip(posteriors, guides, strict=True)]
        )
        kl = sum(float(kl_divergence(p.mean, 2 * p.std.log()).sum()) for p in posteriors)
        if embedding.fixed_size:
            grid = decoded.reshape(count, rows // PATCH, columns // PATCH, PATCH, PATCH)
            decoded = grid.transpose(2, 3).reshape(count, 1, rows, columns)
        images = denormalize(decoded[:, 0]).numpy()
        return {
            **{f"rmse {tissue}": value for tissue, value in tissue_rmse(images, slices).items()},
            "mtf kept": at_half_nyquist(edge_transfer(images, slices)),
            "power kept": at_half_nyquist(spectrum_kept(images, slices)),
            "kl, bits per pixel": kl / slices.size / math.log(2),
        }

    @torch.inference_mode()
    def decoding(self, embedding: Embedding) -> dict[str, float]:
        latents = torch.randn(SAMPLES, *embedding.latent_shape)
        guide = (torch.zeros(25, 1, PATCH, PATCH),) if embedding.guided else ()
        embedding.decode(latents[:25], *guide)
        start = time.perf_counter()
        for part in latents.split(25):
            embedding.decode(part, *guide)
        return {"decode 250, s": time.perf_counter() - start}

    def flows(self, run: Run, embeddings: dict[str, Embedding]) -> dict[str, Any]:
        """R, rate given z, and seconds for 250 samples, in the low-dose domain."""
        low, _ = self.validation.draw(PATCHES + 24, PATCH, seed=0)
        found: dict[str, Any] = {}
        for layer in LAYERS:
            both = [build_flow(run.config, self.denoiser, layer, domain) for domain in DOMAINS]
            source = LatentSource(run, "yang", {"yang": self.denoiser}, embeddings, [layer], both)
            named = {f"layer {layer} {each}": flow.flow for each, flow in zip(DOMAINS, both, strict=True)}
            train_flows(run, source, named, conditions="conditions yang", stage="flows yang")
            flow = both[0].requires_grad_(False)
            trained = TrainedLayer(self.denoiser, layer, "low", embeddings["low"], flow, low[PATCHES:])
            found[f"R, layer {layer}"] = float(np.mean([self.r(trained, x[None]) for x in low[:PATCHES]]))
            found[f"rate given z of layer {layer}, bits per pixel"] = self.rate(trained, low[:PATCHES])
        view = trained.view(low[:1], Region.whole(low))
        draw(trained, view, n=25, seeds=[0])
        start = time.perf_counter()
        draw(trained, view, n=SAMPLES, seeds=[0])
        return found | {"sample 250, s": time.perf_counter() - start}

    @torch.inference_mode()
    def r(self, trained: TrainedLayer, x: Tensor) -> float:
        view = trained.view(x, Region.whole(x))
        checked = consistency(
            trained.denoiser,
            trained.layer,
            z=view.representation(trained.denoiser, trained.layer),
            images=draw(trained, view, n=DRAWN, seeds=[0]).images[0][:, None],
            embedded=trained.embed(x, view),
            unrelated=trained.unrelated,
        )
        return float(checked.values.mean())

    @torch.inference_mode()
    def rate(self, trained: TrainedLayer, x: Tensor) -> float:
        """KL(q(z̄ given x) ‖ p(z̄ given z)) in bits per pixel: what z̄ tells of x that z does not, as the flow has it.

        Unlike a likelihood of z̄ it does not depend on the latent's scale, so embeddings can be compared.
        """
        posterior: Posterior = trained.embedding.encode(x)
        latent = posterior.sample(generator=torch.Generator().manual_seed(0))
        z = trained.view(x, Region.whole(x)).representation(trained.denoiser, trained.layer)
        entropy = (posterior.std.log() + 0.5 * math.log(2 * math.pi * math.e)).flatten(1).sum(1)
        nats = -trained.flow.log_prob(latent, z) - entropy
        return float(nats.mean()) / PATCH**2 / math.log(2)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    names = list(max(rows, key=len))
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in rows:
        cells = [row.get(name, "–") for name in names]
        lines.append("| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="source of full-dose scans")
    parser.add_argument("--models", required=True, help="model set with a trained Yang denoiser")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of training, for every embedding and domain"
    )
    parser.add_argument("--only", nargs="*", help="names of candidates")
    parser.add_argument("--flows", nargs="*", help="names of candidates that go through the pipeline (all)")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    bench = Bench(arguments.data, Models.load(arguments.models, device="cpu"), arguments.seconds)
    rows: list[dict[str, Any]] = []
    for name, settings in CANDIDATES.items():
        if not arguments.only or name in arguments.only:
            flows = arguments.flows is None or name in arguments.flows
            rows.append(bench.measure(bench.config(settings), name, flows=flows))
            print(json.dumps(rows[-1]), flush=True)
    name = "MONAI AutoencoderKL, f 4, 8 channels"
    if not arguments.only or name in arguments.only:
        with patch(
            "CTInvarianceLib.training.embedding.build_embedding", lambda config: MonaiEmbedding(PATCH)
        ):
            rows.append(bench.measure(bench.config(SPATIAL | {"learning_rate": 1e-3}), name, flows=False))
    print(table(rows))
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
