"""Training of the flows of the complete embedding: every patch is seen through a tolerance of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..base import Progress, unheard
from ..config import FlowConfig
from ..denoisers import Linearizer, View, reach
from ..flow import ImageFlow, Seen, explained
from ..models import build_flow
from ..tensors import Spectrum, batch_size, filtered, mirrored, piece_power, ring_means, smoothed
from ..tolerance import LocalLayer, Metric, measure_gain, most_probable, start_of, unit_of
from ..volumes import Region
from .example import show_sample
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
        strengths: (P,), what the noise that only the low dose has was multiplied with.
    """

    low_dose: Tensor
    full_dose: Tensor
    inner: Region
    strengths: Tensor

    def noise(self, dose: float) -> Tensor:
        """(P, RINGS): power of every low-dose patch's noise, that of its full dose included."""
        of_full = dose / (1 - dose) / self.strengths.square()[:, None]
        inserted = self.inner.of(self.low_dose - self.full_dose)[:, 0]
        return smoothed(piece_power(inserted)) * (1 + of_full)

    def domain(self, domain: str) -> Tensor:
        """The patches of "low" or "full" without the margin."""
        return self.inner.of(self.low_dose if domain == "low" else self.full_dose)


@dataclass(frozen=True)
class SeenLayer:
    """What one layer says about all patches, for the flows of both domains.

    Attributes:
        seen: x̂, Ψ(z ± ε) and ε.
        share: (RINGS,), power of what x′ may differ from Ψ(z) by, for every power of its noise.
        extra: (RINGS,), power of it that is there whatever the noise.
        gain: (RINGS,), G².
    """

    seen: Seen
    share: Tensor
    extra: Tensor
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
    strengths = _even_in_log(len(low), config.noises, generator)
    inserted = strengths[:, None, None, None] * (low - full)
    kernel = _kernels(_even_in_log(len(low), config.kernels, generator), *low.shape[2:])
    low, full = filtered(full + inserted, kernel), filtered(full, kernel)
    edge = min(margin, _KERNEL_REACH)
    kept = Region(edge, edge, size + 2 * (margin - edge), size + 2 * (margin - edge))
    inner = Region(margin - edge, margin - edge, size, size)
    return PatchPool(kept.of(low), kept.of(full), inner, strengths)


def _even_in_log(count: int, limits: tuple[float, float], generator: torch.Generator) -> Tensor:
    least, most = (math.log(limit) for limit in limits)
    return torch.empty(count).uniform_(least, most, generator=generator).exp()


def _kernels(at_nyquist: Tensor, rows: int, columns: int) -> Tensor:
    """Gaussian transfer functions, 1 at 0 and as given at half a cycle per pixel, (N, 1, rows, columns // 2 + 1)."""
    square = torch.fft.fftfreq(rows)[:, None].square() + torch.fft.rfftfreq(columns).square()
    return (at_nyquist.log()[:, None, None, None] * square * 4).exp()


@torch.no_grad()
def see_layer(
    pool: PatchPool,
    denoiser: nn.Module,
    layer: str,
    *,
    tolerances: tuple[float, float],
    dose: float,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Progress = unheard,
) -> SeenLayer:
    """Look at every patch through the layer with a tolerance drawn evenly in log τ, and estimate what is there.

    Args:
        pool: the patches.
        denoiser: frozen, on the device.
        layer: of it.
        tolerances: least and most τ, rescans.
        dose: of the low dose, a fraction of the full one.
        seed: of the tolerances and of η.
        device: where to compute.
        progress: called after every batch.
    """
    size = pool.inner.height
    linearizer, start = Linearizer(denoiser, layer), start_of(denoiser, layer)
    at_once = batch_size(pool.low_dose.shape[-1] * pool.low_dose.shape[-2], torch.device(device))
    generator = torch.Generator().manual_seed(seed)
    tau = _even_in_log(len(pool.low_dose), tolerances, generator)

    def local(windows: Tensor) -> LocalLayer:
        return LocalLayer(denoiser, layer, View(windows, pool.inner), linearizer)

    some = pool.low_dose[:_GAIN_PATCHES].to(device)
    first = local(some)
    first.linearize(pool.inner.of(some))
    gain = measure_gain(first, size, size)
    looks = []
    for rows in (batches := torch.arange(len(tau)).split(at_once)):
        low, full = pool.low_dose[rows].to(device), pool.full_dose[rows].to(device)
        epsilon = tau[rows].to(device) * _one_rescan(linearizer, pool.inner, low, full, dose)
        z = linearizer.value(low)
        z = z + epsilon[:, None, None, None] * torch.randn(z.shape, generator=generator).to(z)
        looks.append((low, z, epsilon, pool.inner.of(start(z))))
        progress(0.2 * len(looks) / len(batches))
    noise = pool.noise(dose).to(device)
    missing = torch.cat([pool.inner.of(low) - begun for low, _, _, begun in looks])
    share, extra = explained(piece_power(missing[:, 0]), noise, size)
    estimates: list[Tensor] = []
    for rows, (low, z, epsilon, begun) in zip(batches, looks, strict=True):
        layer_here = local(low)
        metric = Metric(Spectrum(noise[rows] * share + extra).on(size, size)[:, None], gain)
        estimates.append(
            most_probable(
                layer_here,
                metric,
                start=begun,
                prior=begun,
                wanted=layer_here.view.cut(z),
                epsilon=epsilon[:, None, None, None],
            )
        )
        progress(0.2 + 0.8 * len(estimates) / len(looks))
    seen = Seen(
        torch.cat(estimates),
        torch.cat([begun for *_, begun in looks]),
        torch.cat([epsilon for _, _, epsilon, _ in looks]),
        noise,
    )
    return SeenLayer(seen, share, extra, ring_means(gain, size))


def _one_rescan(linearizer: Linearizer, inner: Region, low: Tensor, full: Tensor, dose: float) -> Tensor:
    """‖Φ(y + n) − Φ(y)‖ / √P, (N,): n is full-dose noise, as strong as the inserted noise times √(d / (1 − d))."""
    view = View(full, inner)
    scan = full + (low - full) * math.sqrt(dose / (1 - dose))
    change = view.cut(linearizer.value(scan)) - view.cut(linearizer.value(full))
    rescan = change.flatten(1).norm(dim=1) / (inner.height * inner.width) ** 0.5
    return rescan.new_tensor([unit_of(float(r)) for r in rescan])


def fit_image_flow(
    flow: ImageFlow,
    images: Tensor,
    look: SeenLayer,
    config: FlowConfig,
    *,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[float, list[float]]:
    """Means and variances in closed form, then maximum likelihood of what they leave, nats.

    Args:
        flow: untrained, on its device; left in eval mode.
        images: x′ of every patch, (P, 1, H, W).
        look: at the same patches.
        config: steps, batches and rates.
        seed: of the batches.
        progress: called after every step with its number and loss.

    Returns:
        The variance of the whitened images, about 1, and the loss of every step.
    """
    with torch.no_grad():
        flow.share.copy_(look.share)
        flow.extra.copy_(look.extra)
        flow.gain.copy_(look.gain)
        flow.fit_linear(images, look.seen)
        cells, conditions = _in_all_positions(flow, *_inside(flow, images, look.seen))
    history = flow.flow.fit(
        cells,
        conditions,
        steps=config.steps,
        batch_size=min(config.batch_size, len(cells)),
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        max_norm=_MAX_NORM * cells[0, 0].numel(),
        seed=seed,
        progress=progress,
    )
    flow.eval().requires_grad_(False)
    return float(cells.square().mean()), history


def _inside(flow: ImageFlow, images: Tensor, seen: Seen) -> tuple[Tensor, Seen]:
    """u of pieces of larger images, and what is seen, without the pixels whose u depends on what lies outside.

    What lies outside is mirrored, and differences from the mean fade there: where a period begins there is no edge,
    whose power, whitened, would lie on top of all.
    """
    rows, columns = images.shape[-2:]
    border = flow.period // 2
    height, width = rows - 2 * border, columns - 2 * border
    if min(height, width) < 2 * flow.period:  # tiny patches are taken as they are
        return flow.whitened(images, seen), seen
    around = [2 * border] * 4
    wide = replace(seen, estimate=mirrored(seen.estimate, *around), start=mirrored(seen.start, *around))
    down, across = (_fading(side, 3 * border, images) for side in (height, width))
    differences = (mirrored(images, *around) - flow.base(wide)) * down[:, None] * across
    whitened = filtered(differences, flow.variance(wide).rsqrt())
    kept = Region(border, border, height, width)
    return Region(3 * border, 3 * border, height, width).of(whitened), replace(
        seen, estimate=kept.of(seen.estimate), start=kept.of(seen.start)
    )


def _fading(inner: int, border: int, like: Tensor) -> Tensor:
    """1 over `inner` places, and half a cosine down to 0 over `border` at both sides."""
    slope = 0.5 - 0.5 * torch.cos(torch.linspace(0, math.pi, border + 2)[1:-1])
    return torch.cat((slope, torch.ones(inner), slope.flip(0))).to(like)


def _in_all_positions(flow: ImageFlow, whitened: Tensor, seen: Seen) -> tuple[Tensor, Tensor]:
    """Cells and conditions of the patches turned, mirrored and shifted against the cells in eight ways.

    Noise that lies in other cells every time cannot be learned by heart: without this, the likelihood of the training
    patches rises above what their entropy allows, and that of others falls.
    """
    cells, conditions = [], []
    for number in range(8):
        shift = (number * 5 % flow.period, number * 3 % flow.period)

        def placed(maps: Tensor, number: int = number, shift: tuple[int, int] = shift) -> Tensor:
            turned = maps.rot90(number % 4, (-2, -1)).roll(shift, (-2, -1))
            return turned.flip(-1) if number >= 4 else turned

        cells.append(flow.cells(placed(whitened)))
        conditions.append(
            flow.condition(Seen(placed(seen.estimate), placed(seen.start), seen.epsilon, seen.noise))
        )
    return torch.cat(cells), torch.cat(conditions)


def train_image_flow(
    run: Run, denoiser: nn.Module, layer: str, domain: str, pool: PatchPool, look: SeenLayer, stage: str
) -> ImageFlow:
    """The flow of one layer and domain."""
    config, device = run.config.flow, run.fabric.device
    trained = build_flow(run.config, denoiser, layer, domain).to(device)
    assert isinstance(trained, ImageFlow)  # what this embedding has
    variance, history = fit_image_flow(
        trained,
        pool.domain(domain).to(device),
        look,
        config,
        seed=run.config.seed,
        progress=lambda step, loss: run.report.progress(stage, step / config.steps),
    )
    run.report.metric(stage, 0, whitened_variance=variance)
    run.report.metric(stage, config.steps, nll=history[-1])
    _show(run, stage, trained, pool.domain(domain)[:1].to(device), look.seen)
    return trained


def _show(run: Run, stage: str, flow: ImageFlow, image: Tensor, seen: Seen) -> None:
    """What the flow proposes for the first patch."""
    first = Seen(seen.estimate[:1], seen.start[:1], seen.epsilon[:1], seen.noise[:1])

    def proposed(generator: torch.Generator) -> Tensor:
        v = torch.randn(flow.cells(image).shape, generator=generator).to(image)
        return flow.inverse(v, first)

    show_sample(run, stage, image, proposed)
