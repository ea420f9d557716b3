"""Two independent roads to the same samples: the flow's, corrected, and corrected draws from a Gaussian without a flow.

python benchmarks/roads.py MODELS LOW FULL [--denoiser chen --layer 5 --tolerance 0.5 --picture FILE.png]
    [--out FILE.json]

LOW and FULL are volumes on one grid. The road without a flow starts from the full dose plus noise of the patch's own
spectrum, and is exact where the layer is linear and the image Gaussian (docs/method.md). It needs the partner, and
patience: 28 passes of the network for every sample and more.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import CTInvarianceLib as cti
from CTInvarianceLib.config import Question
from CTInvarianceLib.sampling import Samples
from CTInvarianceLib.tensors import STD, Spectrum, normalize
from CTInvarianceLib.tolerance import LocalLayer, Metric, Noise, measure_gain, misfit, most_probable
from CTInvarianceLib.volumes import Place

AT_ONCE, STEPS, ITERATIONS = 8, 3, 15


@torch.inference_mode()
def without_flow(
    layer: LocalLayer, full: Tensor, noise: Noise, epsilon: float, n: int
) -> tuple[Tensor, float]:
    """Corrected draws from N(full dose, S), (n, 1, H, W), and their mean misfit in tolerances."""
    rows, columns = full.shape[-2:]
    z = layer.linearize(layer.view.region)
    metric = Metric(noise.spectrum.on(rows, columns), measure_gain(layer, rows, columns))
    generator = torch.Generator().manual_seed(1)
    found = []
    for count in np.diff([*range(0, n, AT_ONCE), n]):
        prior = full + noise.draw(int(count), rows, columns, generator=generator)
        wanted = z + epsilon * torch.randn(int(count), *z.shape[1:], generator=generator).to(z)
        found.append(
            most_probable(
                layer,
                metric,
                start=prior,
                prior=prior,
                wanted=wanted,
                epsilon=torch.full((1, 1, 1, 1), epsilon).to(z),
                steps=STEPS,
                iterations=ITERATIONS,
            )
        )
    images = torch.cat(found)
    away = torch.cat([misfit(layer, layer.value(part), z) for part in images.split(AT_ONCE)])
    return images, float(away.mean()) / epsilon


def compare(options: argparse.Namespace) -> tuple[dict[str, float], Samples, np.ndarray]:
    """Figures of both roads, the flow's samples, and the other road's standard deviation, HU."""
    models = cti.Models.load(options.models)
    low, full = cti.read_volume(options.low), cti.read_volume(options.full)
    size = models.config.embedding.patch_size
    place = Place.choose(low, (size, size), first=options.slice, centre=options.center)
    (seen, region), (partner, _) = place.seen(low, alone=False), place.seen(full, alone=False)
    question = Question(options.denoiser, options.layer, options.n, "low", 0, options.tolerance)
    start = time.perf_counter()
    (samples,) = models.sample_slab(seen, question, full_dose_hu=partner, region=region)
    flow_s = time.perf_counter() - start
    trained = models.trained_layer(options.denoiser, options.layer, "low")
    x, y = (
        normalize(torch.from_numpy(v[:1].astype(np.float32))[:, None]).to(models.device)
        for v in (seen, partner)
    )
    assert region is not None  # it is not asked for alone
    layer = LocalLayer(trained.denoiser, trained.layer, trained.view(x, region))
    noise = Noise.between(layer.view.region, region.of(y), trained.dose)
    start = time.perf_counter()
    images, off = without_flow(layer, region.of(y), noise, samples.epsilon, options.n)
    other_s = time.perf_counter() - start
    with torch.inference_mode():
        output = torch.cat(
            [layer.view.cut(trained.denoiser(layer.view.with_region(i))) for i in images.split(AT_ONCE)]
        )
        change = float((output - layer.view.denoised(trained.denoiser)).square().mean().sqrt()) * STD
    spread = float(images.var(0).mean().sqrt()) * STD
    own = normalize(torch.from_numpy(samples.images))[:, None].to(images)
    ratio = (Spectrum.of(own - own.mean(0)).power / Spectrum.of(images - images.mean(0)).power)[1:29]
    figures = {
        "tolerance": options.tolerance,
        "flow_spread": samples.spread,
        "other_spread": spread,
        "spread_ratio": samples.spread / spread,
        "flow_change": float(np.sqrt(np.square(samples.output_change).mean())),
        "other_change": change,
        "change_ratio": float(np.sqrt(np.square(samples.output_change).mean())) / change,
        "spectrum_least": float(ratio.min()),
        "spectrum_most": float(ratio.max()),
        "flow_misfit": float(samples.misfit.max()),
        "other_misfit": off,
        "proposed_misfit": float(samples.proposed_misfit.mean()),
        "moved": float(samples.moved.mean()),
        "flow_s": flow_s,
        "other_s": other_s,
    }
    return figures, samples, (images.std(0)[0] * STD).cpu().numpy()


def draw(samples: Samples, other: np.ndarray, figures: dict[str, float], path: Path, title: str) -> None:
    """Both maps of the spread, side by side, beside the image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3)
    most = float(np.percentile(np.stack([samples.std, other]), 99.5))
    axes[0].imshow(samples.patch, cmap="gray", vmin=-160, vmax=240)
    axes[0].set_title("image x, window 40/400 HU", fontsize=9)
    for axis, image, name in (
        (axes[1], samples.std, f"flow and correction: {figures['flow_spread']:.1f} HU"),
        (axes[2], other, f"without a flow: {figures['other_spread']:.1f} HU"),
    ):
        shown = axis.imshow(image, cmap="inferno", vmin=0, vmax=most)
        axis.set_title(name, fontsize=9)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.colorbar(shown, ax=axes, label="standard deviation / HU", shrink=0.85)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path)


def main() -> None:
    """Print the figures; draw and write them where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models")
    parser.add_argument("low")
    parser.add_argument("full")
    parser.add_argument("--denoiser", default="chen")
    parser.add_argument("--layer", default="5")
    parser.add_argument("--tolerance", type=float, default=Question.tolerance)
    parser.add_argument("-n", type=int, default=48)
    parser.add_argument("--slice", type=int)
    parser.add_argument("--center", type=int, nargs=2)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    figures, samples, other = compare(options)
    for name, value in figures.items():
        print(f"{name:>16} {value:8.3f}")
    title = (
        f"{options.denoiser}, layer {options.layer}, tolerance {options.tolerance:g} rescans, N = {options.n}"
    )
    if options.picture:
        draw(samples, other, figures, options.picture, title)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1), "utf-8")


if __name__ == "__main__":
    main()
