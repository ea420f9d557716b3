"""Two independent roads to the same samples: the flow's, corrected, and corrected draws from a Gaussian without a flow.

python benchmarks/roads.py MODELS LOW FULL [--denoiser chen --layer 5 --tolerance 0.5 --picture FILE.png]
    [--out FILE.json]

LOW and FULL are volumes on one grid. The road without a flow starts from the full dose plus noise of the patch's own
spectrum, and is exact where the layer is linear and the image Gaussian (docs/method.md). It needs
patience: about 90 passes of the network for every sample.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import CTInvarianceLib as cti
from CTInvarianceLib.config import Question
from CTInvarianceLib.sampling import Samples
from CTInvarianceLib.tensors import piece_power, smoothed
from CTInvarianceLib.volumes import Place

LITTLE = 0.05  # of the greatest power: what bands below it hold is not seen


def compare(options: argparse.Namespace) -> tuple[dict[str, float], Samples, Samples]:
    """Figures of both roads, and their samples."""
    models = cti.Models.load(options.models)
    low, full = cti.read_volume(options.low), cti.read_volume(options.full)
    size = models.config.embedding.patch_size
    place = Place.choose(low, (size, size), first=options.slice, centre=options.center)
    (seen, region), (partner, _) = place.seen(low, alone=False), place.seen(full, alone=False)
    question = Question(options.denoiser, options.layer, options.n, tolerance=options.tolerance)
    found, seconds = [], []
    for flow in (True, False):
        start = time.perf_counter()
        asked = replace(question, flow=flow)
        found += models.sample_slab(seen, asked, full_dose_hu=partner, region=region)
        seconds.append(time.perf_counter() - start)
    own, other = found
    power, without = (smoothed(piece_power(differences(each)).mean(0)) for each in found)
    ratio = (power / without)[1:29]
    held = without[1:29] > LITTLE * without.max()
    changes = [float(np.sqrt(np.square(each.output_change).mean())) for each in found]
    figures = {
        "tolerance": options.tolerance,
        "flow_spread": own.spread,
        "other_spread": other.spread,
        "spread_ratio": own.spread / other.spread,
        "flow_change": changes[0],
        "other_change": changes[1],
        "change_ratio": changes[0] / changes[1],
        "spectrum_least": float(ratio.min()),
        "spectrum_most": float(ratio.max()),
        "spectrum_least_of_much": float(ratio[held].min()),
        "spectrum_most_of_much": float(ratio[held].max()),
        "flow_misfit": float(own.misfit.max()),
        "other_misfit": float(other.misfit.max()),
        "proposed_misfit": float(own.proposed_misfit.mean()),
        "moved": float(own.moved.mean()),
        "flow_s": seconds[0],
        "other_s": seconds[1],
    }
    return figures, own, other


def differences(samples: Samples) -> torch.Tensor:
    """From their mean, (n, H, W), HU."""
    return torch.from_numpy(samples.images - samples.mean)


def draw(samples: Samples, other: Samples, figures: dict[str, float], path: Path, title: str) -> None:
    """Both maps of the spread, side by side, beside the image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3)
    most = float(np.percentile(np.stack([samples.std, other.std]), 99.5))
    axes[0].imshow(samples.patch, cmap="gray", vmin=-160, vmax=240)
    axes[0].set_title("image x, window 40/400 HU", fontsize=9)
    for axis, image, name in (
        (axes[1], samples.std, f"flow and correction: {figures['flow_spread']:.1f} HU"),
        (axes[2], other.std, f"without a flow: {figures['other_spread']:.1f} HU"),
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
