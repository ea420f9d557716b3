"""Training of the flows of the complete embedding: every patch is seen through a tolerance of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..base import Progress, unheard
from ..denoisers import Linearizer, View, reach
from ..flow import ImageFlow, Seen
from ..models import build_flow
from ..tensors import Spectrum, batch_size, filtered, ring_means
from ..tolerance import LocalLayer, Metric, measure_gain, most_probable, start_of, unit_of
from ..volumes import Region
from .run import Run, stage_seed

_GAIN_PATCHES = 16
_KERNEL_REACH = 8  # pixels that a kernel blurs the cut edge of a patch into
_MAX_NORM = 10.0  # of the gradient, for every cell


@dataclass(frozen=True)
class PatchPool:
    """Patches drawn once, normalised.

    Attributes:
        low_dose: (P, 1, H, W), what the denoiser sees, with a margin.
        full_dose: likewise.
        inner: the patches without the margin.
    """

    low_dose: Tensor
    full_dose: Tensor
    inner: Region

    def domain(self, domain: str) -> Tensor:
        """The patches of "low" or "full" without the margin."""
        return self.inner.of(self.low_dose if domain == "low" else self.full_dose)


@dataclass(frozen=True)
class SeenLayer:
    """What one layer says about all patches, for the flows of both domains.

    Attributes:
        seen: x̂, Ψ(z ± ε) and ε.
        noise: (RINGS,), power of what x′ may differ from Ψ(z) by.
        gain: (RINGS,), G².
    """

    seen: Seen
    noise: Tensor
    gain: Tensor


def draw_pool(run: Run, denoisers: dict[str, nn.Module]) -> PatchPool:
    """Patches with a margin as wide as what a denoiser reaches, or as the slices have room for."""
    config, size = run.config.flow, run.config.flow.patch_size
    reached = [reach(d, la) or 0 for name, d in denoisers.items() for la in run.config.denoisers[name].layers]
    margin = run.patches.margin(size, max(reached, default=0) + _KERNEL_REACH)
    seed = stage_seed(run.config.seed, "flow patches")
    low, full = (
        each.cpu() for each in run.patches.draw(run.config.flow.patches, size + 2 * margin, seed=seed)
    )
    generator = torch.Generator().manual_seed(run.config.seed)
    inserted = _even_in_log(len(low), config.noises, generator)[:, None, None, None] * (low - full)
    kernel = _kernels(_even_in_log(len(low), config.kernels, generator), *low.shape[2:])
    low, full = filtered(full + inserted, kernel), filtered(full, kernel)
    edge = min(margin, _KERNEL_REACH)
    kept = Region(edge, edge, size + 2 * (margin - edge), size + 2 * (margin - edge))
    return PatchPool(kept.of(low), kept.of(full), Region(margin - edge, margin - edge, size, size))


def _even_in_log(count: int, limits: tuple[float, float], generator: torch.Generator) -> Tensor:
    least, most = (math.log(limit) for limit in limits)
    return torch.empty(count).uniform_(least, most, generator=generator).exp()


def _kernels(at_nyquist: Tensor, rows: int, columns: int) -> Tensor:
    """Gaussian transfer functions, 1 at 0 and as given at half a cycle per pixel, (N, 1, rows, columns // 2 + 1)."""
    square = torch.fft.fftfreq(rows)[:, None].square() + torch.fft.rfftfreq(columns).square()
    return (at_nyquist.log()[:, None, None, None] * square * 4).exp()


@torch.no_grad()
def see_layer(
    run: Run, pool: PatchPool, denoiser: nn.Module, layer: str, progress: Progress = unheard
) -> SeenLayer:
    """Look at every patch through the layer with a tolerance drawn evenly in log τ, and estimate what is there."""
    device, size = run.fabric.device, pool.inner.height
    linearizer, start = Linearizer(denoiser, layer), start_of(denoiser, layer)
    at_once = batch_size(pool.low_dose.shape[-1] * pool.low_dose.shape[-2], device)
    generator = torch.Generator().manual_seed(run.config.seed)
    tau = _even_in_log(len(pool.low_dose), run.config.flow.tolerances, generator)

    def local(windows: Tensor) -> LocalLayer:
        return LocalLayer(denoiser, layer, View(windows, pool.inner), linearizer)

    some = pool.low_dose[:_GAIN_PATCHES].to(device)
    first = local(some)
    first.linearize(pool.inner.of(some))
    gain_plane = measure_gain(first, size, size)
    looks = []
    for k, windows in enumerate(parts := pool.low_dose.split(at_once)):
        low = windows.to(device)
        full = pool.full_dose[k * at_once : k * at_once + len(low)].to(device)
        epsilon = tau[k * at_once : k * at_once + len(low)].to(device) * _one_rescan(
            run, local(low), low, full
        )
        z = linearizer.value(low)
        z = z + epsilon[:, None, None, None] * torch.randn(z.shape, generator=generator).to(z)
        looks.append((low, z, epsilon, pool.inner.of(start(z))))
        progress(0.2 * (k + 1) / len(parts))
    differences = torch.cat([pool.inner.of(low) - begun for low, _, _, begun in looks])
    noise = Spectrum.of(differences)
    metric = Metric(noise.on(size, size), gain_plane)
    seen = []
    for k, (low, z, epsilon, begun) in enumerate(looks):
        layer_here = local(low)
        wanted = pool.inner.scaled(round(low.shape[-1] / z.shape[-1])).of(z)
        estimate = most_probable(
            layer_here, metric, start=begun, prior=begun, wanted=wanted, epsilon=epsilon[:, None, None, None]
        )
        seen.append(Seen(estimate, begun, epsilon))
        progress(0.2 + 0.8 * (k + 1) / len(looks))
    joined = Seen(*(torch.cat([getattr(s, f) for s in seen]) for f in ("estimate", "start", "epsilon")))
    return SeenLayer(joined, noise.power, ring_means(gain_plane, size))


def _one_rescan(run: Run, layer: LocalLayer, low: Tensor, full: Tensor) -> Tensor:
    """‖Φ(y + n) − Φ(y)‖ / √P, (N,): n is full-dose noise, as strong as the inserted noise times √(d / (1 − d))."""
    dose = run.config.data.dose
    scan = full + (low - full) * math.sqrt(dose / (1 - dose))
    inner = layer.view.inner
    there = LocalLayer(layer.linearizer.denoiser, layer.linearizer.layer, View(full, inner), layer.linearizer)
    change = there.value(inner.of(scan)) - there.value(inner.of(full))
    rescan = change.flatten(1).norm(dim=1) / layer.pixels**0.5
    return rescan.new_tensor([unit_of(float(r)) for r in rescan])


def train_image_flow(
    run: Run, denoiser: nn.Module, layer: str, domain: str, pool: PatchPool, look: SeenLayer, stage: str
) -> ImageFlow:
    """Variances and the linear part in closed form, then maximum likelihood of what they leave, nats."""
    config, device = run.config.flow, run.fabric.device
    trained = build_flow(run.config, denoiser, layer, domain).to(device)
    assert isinstance(trained, ImageFlow)  # what this embedding has
    images, seen = pool.domain(domain).to(device), look.seen
    with torch.no_grad():
        trained.noise.copy_(look.noise)
        trained.gain.copy_(look.gain)
        trained.fit_linear(images, seen)
        cells, conditions = trained.cells(trained.whitened(images, seen)), trained.condition(seen)
    run.report.metric(stage, 0, whitened_variance=float(cells.square().mean()))
    history = trained.flow.fit(
        cells,
        conditions,
        steps=config.steps,
        batch_size=min(config.batch_size, len(cells)),
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        max_norm=_MAX_NORM * cells[0, 0].numel(),
        seed=run.config.seed,
        progress=lambda step, loss: run.report.progress(stage, step / config.steps),
    )
    run.report.metric(stage, config.steps, nll=history[-1])
    return trained.eval().requires_grad_(False)
