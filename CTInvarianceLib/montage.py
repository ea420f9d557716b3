"""The picture of what was sampled: image, denoised, embedded, samples, mean and spread, one row a layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .atomic import writing

if TYPE_CHECKING:
    from .sampling import Samples

WINDOWS = {"wide": (-250.0, 1500.0), "abdomen": (50.0, 400.0), "head": (40.0, 80.0)}
"""CT windows, centre and width in HU; "wide" shows lung, soft tissue and most bone at once."""

_SHOWN = 4  # samples per row
_LUNG_HU, _LUNG_FRACTION = -500.0, 0.05


def ct_window(image_hu: np.ndarray) -> tuple[float, float]:
    """Centre and width, HU, in which an image shows most: wide where there is lung or air, else soft tissue."""
    return WINDOWS["wide" if (image_hu < _LUNG_HU).mean() > _LUNG_FRACTION else "abdomen"]


def draw_montage(
    rows: Sequence[tuple[str, Samples]], path: Path, *, title: str, window: tuple[float, float] | None = None
) -> None:
    """Write a PNG with one row per layer.

    Args:
        rows: label and samples; all of one patch and one domain.
        path: of the PNG.
        title: above everything.
        window: centre and width, HU; None: what suits the patch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    centre, width = window or ct_window(rows[0][1].patch)
    limits = {"cmap": "gray", "vmin": centre - width / 2, "vmax": centre + width / 2}
    spread = max(float(np.percentile(samples.std, 99.5)) for _, samples in rows)
    headings = _headings(rows[0][1])
    figure = Figure(figsize=(1.55 * len(headings) + 1.5, 1.72 * len(rows) + 0.95), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(headings), squeeze=False)
    for line, (label, samples) in zip(axes, rows, strict=True):
        line[0].set_ylabel(f"{label}\nR = {_mean_r(samples)}", fontsize=8)
        for axis, image in zip(line, _grey_images(samples), strict=False):
            grey = axis.imshow(image, **limits)
        colour = line[-1].imshow(samples.std, cmap="inferno", vmin=0, vmax=spread)
    for axis, heading in zip(axes[0], headings, strict=True):
        axis.set_title(heading, fontsize=8)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    _bars(figure, axes, grey, colour)
    figure.suptitle(
        f"{title}   (window {centre:.0f}/{width:.0f} HU, N = {len(rows[0][1].images)})", fontsize=9, y=0.985
    )
    with writing(path) as part:
        figure.savefig(part, format="png")


def _headings(samples: Samples) -> list[str]:
    embedded = "D(E(x))" if samples.domain == "low" else "D(E(y))"
    shown = [f"sample {i + 1}" for i in range(min(_SHOWN, len(samples.images)))]
    return ["low dose x", "denoised f(x)", embedded, *shown, "mean", "standard deviation"]


def _grey_images(samples: Samples) -> list[np.ndarray]:
    return [samples.patch, samples.denoised, samples.embedded, *samples.images[:_SHOWN], samples.mean]


def _mean_r(samples: Samples) -> str:
    return f"{np.mean(samples.consistency):.2f} ± {np.std(samples.consistency):.2f}"


def _bars(figure: Any, axes: np.ndarray, grey: Any, colour: Any) -> None:
    """Two colour bars at the right, both in HU, as high as the rows together."""
    figure.subplots_adjust(
        left=0.055, right=0.915, top=1 - 0.62 / figure.get_figheight(), bottom=0.02, wspace=0.04, hspace=0.05
    )
    top, bottom = axes[0, 0].get_position().y1, axes[-1, 0].get_position().y0
    for x, mappable, label in ((0.922, colour, "standard deviation / HU"), (0.968, grey, "image / HU")):
        place = figure.add_axes((x, bottom, 0.007, top - bottom))
        bar = figure.colorbar(mappable, cax=place)
        bar.ax.tick_params(labelsize=6, pad=1, length=2)
        bar.set_label(label, fontsize=6, labelpad=1)
