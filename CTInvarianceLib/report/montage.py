"""The picture of what was sampled: image, denoised, embedded, samples, mean and spread, one row a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ..base import decimal, printable, writing

if TYPE_CHECKING:
    from ..sampling import Samples

WINDOWS = {"wide": (-250.0, 1500.0), "abdomen": (50.0, 400.0), "head": (40.0, 80.0)}
"""CT windows, centre and width in HU; "wide" shows lung, soft tissue and most bone at once."""

_SAMPLES, _SAMPLES_OF_LARGE, _LARGE = 4, 2, 256  # samples per row; of images with more pixels a side fewer
_DPI, _MOST_DPI = 130, 220
_AIR_HU, _LUNG_HU, _LUNG_FRACTION = -900.0, -500.0, 0.05


def ct_window(image_hu: np.ndarray) -> tuple[float, float]:
    """Centre and width, HU, in which an image shows most: wide where there is lung or air, else soft tissue."""
    return WINDOWS["wide" if (image_hu < _LUNG_HU).mean() > _LUNG_FRACTION else "abdomen"]


def draw_montage(
    rows: Sequence[tuple[str, Samples]], path: Path, *, title: str, window: tuple[float, float] | None = None
) -> None:
    """Write a PNG with one row per layer or slice.

    Args:
        rows: label and samples; all of one size and one domain.
        path: of the PNG.
        title: above everything.
        window: centre and width, HU; None: what suits the patches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    centre, width = window or _window([samples.patch for _, samples in rows])
    limits = {"cmap": "gray", "vmin": centre - width / 2, "vmax": centre + width / 2}
    spread = max(float(np.percentile(samples.std, 99.5)) for _, samples in rows)
    headings = _headings(rows[0][1])
    sheet = _Sheet.of(rows[0][1].patch.shape, len(rows), len(headings))
    figure = Figure(figsize=(sheet.width, sheet.height), dpi=sheet.dpi, facecolor="white")
    FigureCanvasAgg(figure)
    for row, (label, samples) in enumerate(rows):
        for column, image in enumerate(_grey_images(samples)):
            grey = sheet.cell(figure, row, column).imshow(image, **limits)
        colour = sheet.cell(figure, row, len(headings) - 1).imshow(
            samples.std, cmap="inferno", vmin=0, vmax=spread
        )
        figure.axes[row * len(headings)].set_ylabel(
            f"{printable(label)}\n{_found(samples)}", fontsize=7, parse_math=False
        )
    for column, heading in enumerate(headings):
        figure.axes[column].set_title(heading, fontsize=8, pad=3)
    for number, (mappable, label) in enumerate(((colour, "standard deviation / HU"), (grey, "image / HU"))):
        bar = figure.colorbar(mappable, cax=sheet.bar(figure, number))
        bar.ax.tick_params(labelsize=6, pad=1, length=2)
        bar.set_label(label, fontsize=7, labelpad=1)
    asked = rows[0][1]
    facts = (
        f"window {centre:.0f}/{width:.0f} HU, N = {len(asked.images)}, tolerance {asked.tolerance:g} rescans"
    )
    heading = f"{printable(title)}   ({facts})"
    figure.text(0.012, 1 - 0.2 / sheet.height, heading, fontsize=9, va="center", parse_math=False)
    with writing(path) as part:
        figure.savefig(part, format="png")


@dataclass(frozen=True)
class _Sheet:
    """Places on the page, in inches: a grid of cells of the images' proportions, colour bars at the right."""

    rows: int
    columns: int
    cell_width: float
    cell_height: float
    dpi: float
    cell_side: ClassVar[float] = 1.5
    least_side: ClassVar[float] = 1.1  # as much as the words above and beside a cell take
    gap: ClassVar[float] = 0.04
    left: ClassVar[float] = 0.62
    top: ClassVar[float] = 0.58
    bottom: ClassVar[float] = 0.08
    bars: ClassVar[float] = 1.35

    @classmethod
    def of(cls, shape: tuple[int, ...], rows: int, columns: int) -> Self:
        """For images (H, W): the larger they are, the more dots an inch has, and with it the words."""
        longest = max(shape)
        height, width = (max(cls.cell_side * side / longest, cls.least_side) for side in shape)
        dpi = min(max(_DPI, longest / cls.cell_side), _MOST_DPI)
        return cls(rows, columns, width, height, dpi)

    @property
    def width(self) -> float:
        return self.left + self.columns * (self.cell_width + self.gap) + self.bars

    @property
    def height(self) -> float:
        return self.top + self.rows * (self.cell_height + self.gap) + self.bottom

    def cell(self, figure: Any, row: int, column: int) -> Any:
        x = self.left + column * (self.cell_width + self.gap)
        y = self.height - self.top - (row + 1) * (self.cell_height + self.gap) + self.gap
        axis = self._axes(figure, x, y, self.cell_width, self.cell_height)
        axis.set_xticks([])
        axis.set_yticks([])
        return axis

    def bar(self, figure: Any, number: int) -> Any:
        x = self.left + self.columns * (self.cell_width + self.gap) + 0.06 + 0.62 * number
        y = self.bottom + self.gap
        return self._axes(figure, x, y, 0.09, self.height - self.top - y)

    def _axes(self, figure: Any, x: float, y: float, width: float, height: float) -> Any:
        w, h = self.width, self.height
        return figure.add_axes((x / w, y / h, width / w, height / h))


def _window(patches: Sequence[np.ndarray]) -> tuple[float, float]:
    """`ct_window` of several images; the air around a patient is no reason to show lungs."""
    return ct_window(np.stack([np.where(patch > _AIR_HU, patch, 0) for patch in patches]))


def _headings(samples: Samples) -> list[str]:
    embedded = "D(E(x))" if samples.domain == "low" else "D(E(y))"
    shown = [f"sample {i + 1}" for i in range(len(_shown(samples)))]
    return ["image x", "denoised f(x)", embedded, *shown, "mean", "standard deviation"]


def _grey_images(samples: Samples) -> list[np.ndarray]:
    return [samples.patch, samples.denoised, samples.embedded, *_shown(samples), samples.mean]


def _shown(samples: Samples) -> np.ndarray:
    return samples.images[: _SAMPLES if max(samples.patch.shape) <= _LARGE else _SAMPLES_OF_LARGE]


def _found(samples: Samples) -> str:
    """How far the samples differ and how much of that arrives, HU, and V."""
    if samples.evidence is None:
        return f"{decimal(samples.spread, 1)} HU, not measured"
    if samples.domain == "full":
        return f"differ by {decimal(samples.spread, 1)} HU"
    arrives = decimal(samples.evidence.arrives, 1)
    return f"{decimal(samples.spread, 1)} → {arrives} HU\nV = {decimal(samples.visibility, 2)}"
