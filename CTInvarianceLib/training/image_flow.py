"""What flows of the complete embedding learn from: patches, each seen through a tolerance of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..base import Progress, part, unheard
from ..config import DOMAINS, FlowConfig
from ..data import Patches
from ..denoisers import Linearizer, View, reach
from ..flow import INITIAL, FlowBatch, FlowStack, ImageFlow, Seen, descend, explained, make_optimizer
from ..tensors import (
    Spectrum,
    batch_size,
    filtered,
    mirrored,
    piece_power,
    rate_factor,
    ring_means,
    smoothed,
)
from ..tolerance import LocalLayer, Metric, measure_gain, most_probable, start_of, unit_of
from ..volumes import Region
from .flow import initialise, max_norm
from .run import Run, seeded, set_learning_rate, stage_seed
from .shares import Share

_GAIN_PATCHES = 16
_KERNEL_REACH = 8  # pixels that a kernel blurs the cut edge of a patch into
_POSITIONS = 8


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


def draw_pool(
    run: Run, patches: Patches, denoisers: Mapping[str, nn.Module], numbers: range, purpose: str
) -> PatchPool:
    """Patches of these numbers, with a margin as wide as what a denoiser reaches, or as the slices have room for."""
    config, size, count = run.config.flow, run.config.flow.patch_size, len(numbers)
    reached = [reach(d, la) or 0 for name, d in denoisers.items() for la in run.config.denoisers[name].layers]
    margin = patches.margin(size, max(reached, default=0) + _KERNEL_REACH)
    seed = stage_seed(run.config.seed, purpose)
    drawn = patches.draw(count, size + 2 * margin, seed=seed, first=numbers.start)
    low, full = (each.cpu() for each in drawn)
    generator = seeded(run.config.seed, purpose, numbers.start)
    strengths = _even_in_log(count, config.noises, generator)
    inserted = strengths[:, None, None, None] * (low - full)
    kernel = _kernels(_even_in_log(count, config.kernels, generator), *low.shape[2:])
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
    first: int = 0,
    known: SeenLayer | None = None,
    device: torch.device | str = "cpu",
    share: Share | None = None,
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
        first: number of the pool's first patch: every patch has an η of its own.
        known: what the layer has shown of earlier patches; share, extra and gain are then taken from there.
        device: where to compute.
        share: the patches that this process looks at; what the others see is gathered. None: all of them.
        progress: called after every batch.
    """
    size, share = pool.inner.height, share or Share()
    linearizer, start = Linearizer(denoiser, layer), start_of(denoiser, layer)
    at_once = batch_size(pool.low_dose.shape[-1] * pool.low_dose.shape[-2], torch.device(device))
    count = len(pool.low_dose)
    tau = _even_in_log(count, tolerances, seeded(seed, "tolerances", first))

    def local(windows: Tensor) -> LocalLayer:
        return LocalLayer(denoiser, layer, View(windows, pool.inner), linearizer)

    if known is None:
        some = pool.low_dose[:_GAIN_PATCHES].to(device)
        linear = local(some)
        linear.linearize(pool.inner.of(some))
        gain = measure_gain(linear, size, size)
    else:
        gain = Spectrum(known.gain).on(size, size)
    looks = []
    for rows in (batches := share.rows(count).split(at_once)):
        low, full = pool.low_dose[rows].to(device), pool.full_dose[rows].to(device)
        epsilon = tau[rows].to(device) * _one_rescan(linearizer, pool.inner, low, full, dose)
        z = linearizer.value(low)
        eta = [torch.randn(z.shape[1:], generator=seeded(seed, "eta", first + row)) for row in rows.tolist()]
        z = z + epsilon[:, None, None, None] * torch.stack(eta).to(z)
        looks.append((low, z, epsilon, pool.inner.of(start(z))))
        progress(0.2 * len(looks) / len(batches))
    noise = pool.noise(dose).to(device)
    begun = share.whole(torch.cat([each for *_, each in looks]), count)
    if known is None:
        missing = pool.inner.of(pool.low_dose).to(device) - begun
        power, extra = explained(piece_power(missing[:, 0]), noise, size)
    else:
        power, extra = known.share, known.extra
    estimates: list[Tensor] = []
    for rows, (low, z, epsilon, own) in zip(batches, looks, strict=True):
        layer_here = local(low)
        metric = Metric(Spectrum(noise[rows] * power + extra).on(size, size)[:, None], gain)
        estimates.append(
            most_probable(
                layer_here,
                metric,
                start=own,
                prior=own,
                wanted=layer_here.view.cut(z),
                epsilon=epsilon[:, None, None, None],
            )
        )
        progress(0.2 + 0.8 * len(estimates) / len(looks))
    seen = Seen(
        share.whole(torch.cat(estimates), count),
        begun,
        share.whole(torch.cat([epsilon for _, _, epsilon, _ in looks]), count),
        noise,
    )
    return SeenLayer(seen, power, extra, known.gain if known else ring_means(gain, size))


def _one_rescan(linearizer: Linearizer, inner: Region, low: Tensor, full: Tensor, dose: float) -> Tensor:
    """‖Φ(y + n) − Φ(y)‖ / √P, (N,): n is full-dose noise, as strong as the inserted noise times √(d / (1 − d))."""
    view = View(full, inner)
    scan = full + (low - full) * math.sqrt(dose / (1 - dose))
    change = view.cut(linearizer.value(scan)) - view.cut(linearizer.value(full))
    rescan = change.flatten(1).norm(dim=1) / (inner.height * inner.width) ** 0.5
    return rescan.new_tensor([unit_of(float(r)) for r in rescan])


class ImagePool:
    """What flows see of some patches: whitened images and, for every layer, x̂ and Ψ(z); see `flow.FlowPool`.

    Args:
        flows: their linear parts are set.
        images: x′ of every patch for every flow, (P, 1, H, W).
        looks: number of the look that belongs to a flow.
        seen: at the same patches, through every layer.
    """

    def __init__(
        self, flows: Sequence[ImageFlow], images: Sequence[Tensor], looks: Sequence[int], seen: Sequence[Seen]
    ) -> None:
        self._flows, self._looks = list(flows), list(looks)
        whitened, inner = [], list(seen)
        for flow, image, number in zip(flows, images, looks, strict=True):
            u, inner[number] = _inside(flow, image, seen[number])
            whitened.append(u)
        self._seen = inner
        self._maps = torch.cat(
            [*whitened, *(each.estimate for each in inner), *(each.start for each in inner)], 1
        )

    def __len__(self) -> int:
        return len(self._maps)

    @property
    def whitened_variances(self) -> Tensor:
        """Of every flow's images, (flows,); about 1."""
        return self._maps[:, : len(self._flows)].square().mean((0, 2, 3))

    def drawn(self, count: int, generator: torch.Generator, own: slice = slice(None)) -> FlowBatch:
        """Cells and conditions of patches drawn by chance, turned, mirrored and shifted against the cells.

        Noise that lies in other cells every time cannot be learned by heart: without this, the likelihood of the
        training patches rises above what their entropy allows, and that of others falls.

        Args:
            count: patches of a step over all processes.
            generator: draws them.
            own: those of this process.
        """
        rows = torch.randint(len(self), (count,), generator=generator)[own]
        positions = torch.randint(_POSITIONS, (count,), generator=generator)[own]
        return self.at(rows, positions)

    def at(self, rows: Tensor, positions: Tensor) -> FlowBatch:
        """Cells and conditions of every flow, for these patches in these positions."""
        maps = self._maps[rows.to(self._maps.device)]
        placed = torch.empty_like(maps)
        for number in positions.unique().tolist():
            here = (positions == number).to(maps.device)
            placed[here] = _placed(maps[here], number, self._flows[0].period)
        layers, first = len(self._seen), len(self._flows)
        rows = rows.to(maps.device)
        own = dict(zip(self._looks, self._flows, strict=True))
        conditions = {
            number: flow.condition(
                Seen(
                    placed[:, first + number, None],
                    placed[:, first + layers + number, None],
                    self._seen[number].epsilon[rows],
                    self._seen[number].noise[rows],
                )
            )
            for number, flow in own.items()
        }
        cells = [flow.cells(placed[:, number, None]) for number, flow in enumerate(self._flows)]
        return cells, [conditions[number] for number in self._looks]


def _placed(maps: Tensor, number: int, period: int) -> Tensor:
    """One of eight positions: turned, mirrored, and shifted by less than a period."""
    turned = maps.rot90(number % 4, (-2, -1)).roll((number * 5 % period, number * 3 % period), (-2, -1))
    return turned.flip(-1) if number >= 4 else turned


class ImageSource:
    """Pools of patches for all flows of some layers, drawn and looked at when they are needed; see `flow.FlowSource`.

    Args:
        run: the run.
        name: of the denoiser.
        denoisers: all of them: patches have a margin for each.
        layers: of the denoiser.
        flows: of every layer, low dose before full dose.
    """

    def __init__(
        self,
        run: Run,
        name: str,
        denoisers: Mapping[str, nn.Module],
        layers: Sequence[str],
        flows: Sequence[ImageFlow],
    ) -> None:
        self._run, self._name, self._denoisers = run, name, denoisers
        self._layers, self._flows = list(layers), list(flows)
        self._known: dict[str, SeenLayer] = {}
        self._first: tuple[Tensor, Seen]  # set by `begin`

    @torch.no_grad()
    def begin(self, numbers: range, progress: Progress = unheard) -> ImagePool:
        """The first pool; the flows' linear parts are set from it."""
        pool, looks = self._look(self._run.patches, numbers, "flow patches", progress)
        self._known = dict(zip(self._layers, looks, strict=True))
        for number, flow in enumerate(self._flows):
            images = pool.domain(DOMAINS[number % len(DOMAINS)]).to(self._run.fabric.device)
            fit_linear_part(flow, images, looks[number // len(DOMAINS)])
        first = looks[-1].seen.of(slice(1))
        self._first = pool.domain(DOMAINS[0])[:1].to(self._run.fabric.device), first
        seen = self._seen(pool, looks)
        for number, variance in enumerate(seen.whitened_variances.tolist()):
            which = f"layer {self._layers[number // len(DOMAINS)]} {DOMAINS[number % len(DOMAINS)]}"
            self._run.report.metric(
                f"conditions {self._name}", 0, **{f"whitened variance, {which}": variance}
            )
        return seen

    def pool(self, numbers: range, progress: Progress = unheard) -> ImagePool:
        """A later one."""
        return self._seen(*self._look(self._run.patches, numbers, "flow patches", progress))

    def kept(self, count: int, progress: Progress = unheard) -> ImagePool:
        """Patches of validation patients, always the same."""
        return self._seen(*self._look(self._run.validation, range(count), "flow validation", progress))

    @torch.no_grad()
    def example(self, seed: int) -> tuple[Tensor, Tensor]:
        """The first patch, and what the last layer's flow proposes in its place, (1, 1, H, W), normalised."""
        image, seen = self._first
        flow = self._flows[-len(DOMAINS)]
        v = torch.randn(flow.cells(image).shape, generator=torch.Generator().manual_seed(seed))
        return image, flow.inverse(v.to(image), seen)

    def _look(
        self, patches: Patches, numbers: range, purpose: str, progress: Progress
    ) -> tuple[PatchPool, list[SeenLayer]]:
        run, looks = self._run, []
        pool = draw_pool(run, patches, self._denoisers, numbers, purpose)
        for number, layer in enumerate(self._layers):
            heard = part(progress, number / len(self._layers), (number + 1) / len(self._layers))
            looks.append(
                see_layer(
                    pool,
                    self._denoisers[self._name],
                    layer,
                    tolerances=run.config.flow.tolerances,
                    dose=run.config.data.dose,
                    seed=run.config.seed,
                    first=numbers.start,
                    known=self._known.get(layer),
                    device=run.fabric.device,
                    share=run.share,
                    progress=heard,
                )
            )
        return pool, looks

    @torch.no_grad()
    def _seen(self, pool: PatchPool, looks: Sequence[SeenLayer]) -> ImagePool:
        device = self._run.fabric.device
        images = [pool.domain(domain).to(device) for _ in self._layers for domain in DOMAINS]
        numbers = [number // len(DOMAINS) for number in range(len(images))]
        return ImagePool(self._flows, images, numbers, [look.seen for look in looks])


@torch.no_grad()
def fit_linear_part(flow: ImageFlow, images: Tensor, look: SeenLayer) -> None:
    """Means and variances in closed form, from x′ of every patch (P, 1, H, W) and what was seen of it."""
    flow.share.copy_(look.share)
    flow.extra.copy_(look.extra)
    flow.gain.copy_(look.gain)
    flow.fit_linear(images, look.seen)


def fit_image_flow(
    flow: ImageFlow,
    images: Tensor,
    look: SeenLayer,
    config: FlowConfig,
    *,
    seed: int = 0,
    progress: Callable[[int, float], object] = lambda step, loss: None,
) -> list[float]:
    """Means and variances in closed form, then maximum likelihood of what they leave: one flow, and one pool.

    Args:
        flow: untrained, on its device; left in eval mode.
        images: x′ of every patch, (P, 1, H, W).
        look: at the same patches.
        config: steps, batches and rates.
        seed: of the batches.
        progress: called after every step with its number and loss.

    Returns:
        The loss of every step, nats.
    """
    fit_linear_part(flow, images, look)
    with torch.no_grad():
        pool = ImagePool([flow], [images], [0], [look.seen])
    generator, losses = torch.Generator().manual_seed(seed), []
    initialise([flow.flow], pool.drawn(INITIAL, generator))
    stack = FlowStack([flow.flow])
    optimizer = make_optimizer(stack, config.weight_decay)
    for step in range(config.steps):
        batch = pool.drawn(min(config.batch_size, _POSITIONS * len(pool)), generator)
        set_learning_rate(optimizer, config.learning_rate * rate_factor(step, config.steps))
        losses.append(float(descend(stack, optimizer, batch, max_norm=max_norm(batch))))
        progress(step + 1, losses[-1])
    stack.unstack([flow.flow])
    flow.eval().requires_grad_(False)
    return losses


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
