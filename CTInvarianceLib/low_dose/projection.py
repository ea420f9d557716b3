"""Parallel-beam projection and filtered back-projection of stacks of slices, in plain torch.

Geometry: pixel (r, c) lies at x = (c - (C-1)/2) pixel_mm, y = (r - (R-1)/2) pixel_mm. The ray of view theta and
detector m is the line x cos(theta) + y sin(theta) = s_m with s_m = (m - (M-1)/2) spacing_mm. Lengths in mm.
Why no projector library: docs/decisions/0002-projector.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# Sub-pixel positions at which a filtered view is tabulated. Taking the nearest of 8 moves a sample by at most
# 1/16 pixel, which lowers the power at half the Nyquist frequency by 0.2 %.
PHASES = 8
# Samples per detector after filtering; linear interpolation between them is then exact to 1 % at 0.75 / mm.
OVERSAMPLING = 4
# Pixels summed at once: as many as fit the cache of a CPU, as each step costs all threads a rendezvous.
PIECES = 2**21

Window = Callable[[Tensor], Tensor]
"""What multiplies the ramp at frequencies in cycles per mm, see `kernel.Kernel.window`."""


@dataclass(frozen=True)
class ParallelBeam:
    """Views, evenly over 180 degrees, and detectors of a parallel-beam scanner; spacing in mm."""

    views: int
    detectors: int
    spacing_mm: float

    @classmethod
    def covering(cls, shape: tuple[int, int], pixel_mm: float, spacing_mm: float, views: int) -> ParallelBeam:
        """A beam whose detector row is as long as the diagonal of an image of this shape."""
        diagonal = math.hypot(*shape) * pixel_mm
        return cls(views, math.ceil(diagonal / spacing_mm) + 2, spacing_mm)

    def directions(self) -> tuple[Tensor, Tensor, Tensor]:
        """cos(theta) and sin(theta) of each view, float64, and where a ray crosses rows rather than columns."""
        theta = torch.arange(self.views, dtype=torch.float64) * (math.pi / self.views)
        cos, sin = theta.cos(), theta.sin()
        return cos, sin, cos.abs() >= sin.abs()

    def positions(self) -> Tensor:
        """The detector positions s_m in mm, shape (M,)."""
        return (torch.arange(self.detectors) - (self.detectors - 1) / 2) * self.spacing_mm


def forward_project(
    image: Tensor, pixel_mm: float, beam: ParallelBeam, *, center_mm: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """Line integrals p(theta, s) = integral of the image along the ray, by Joseph's method.

    A ray is sampled once in each row (steep rays) or column (flat rays), linearly interpolated between the two
    pixels beside it: Joseph, IEEE Trans Med Imaging 1(3):192-196 (1982), doi:10.1109/TMI.1982.4307572.

    Args:
        image: attenuation per mm, shape (slices, rows, columns).
        pixel_mm: side of a pixel in mm.
        beam: the rays.
        center_mm: (x, y) of the beam's axis in the image's coordinates.

    Returns:
        (slices, views, detectors), without unit (per mm times mm).
    """
    cos, sin, steep = beam.directions()
    s = beam.positions().double() + center_mm[0] * cos[:, None] + center_mm[1] * sin[:, None]
    sinogram = image.new_empty(len(image), beam.views, beam.detectors)
    sinogram[:, steep] = _joseph(image, s[steep], cos[steep], sin[steep], pixel_mm)
    sinogram[:, ~steep] = _joseph(image.transpose(1, 2), s[~steep], sin[~steep], cos[~steep], pixel_mm)
    return sinogram


def _joseph(image: Tensor, s: Tensor, cos: Tensor, sin: Tensor, pixel_mm: float) -> Tensor:
    """Views for which |cos| >= |sin|: every row sampled at x = (s - y sin) / cos; (slices, views, detectors)."""
    # A column of zeros on either side, so that rays beside the image read zero.
    padded = torch.nn.functional.pad(image, (1, 1))
    slices, rows, width = padded.shape
    flat = padded.reshape(slices, -1)
    row = torch.arange(rows, device=image.device)
    y = (row - (rows - 1) / 2) * pixel_mm
    x_of_s, x_of_y = (s / cos[:, None]).to(image), (-sin / cos).to(image)
    views = []
    for block in torch.arange(len(s), device=image.device).split(max(1, PIECES // (rows * s.shape[1]))):
        x = x_of_s[block, :, None] + x_of_y[block, None, None] * y
        column = (x / pixel_mm + (width - 1) / 2).clamp(0, width - 1.001)
        left = column.floor()
        index = left.long() + row * width
        sampled = torch.stack([torch.lerp(one[index], one[index + 1], column - left) for one in flat])
        views.append(sampled.sum(3))
    return torch.cat(views, dim=1) * (pixel_mm / cos.abs()).to(image)[:, None]


def ramp_filter(length: int, spacing_mm: float, window: Window | None, device: torch.device) -> Tensor:
    """H(f) = |f| W(f): the filter of back-projection.

    The ramp is the transform of the band-limited kernel sampled on the detector (Kak and Slaney, Principles of
    Computerized Tomographic Imaging, 1988, eq. 3.61), which keeps the right mean where sampling |f| would not.

    Args:
        length: number of samples of the transform.
        spacing_mm: detector spacing in mm.
        window: W; None for the bare ramp.
        device: where the filter is to lie.

    Returns:
        (length // 2 + 1,) values of H at rfft's frequencies, per mm.
    """
    n = torch.fft.fftfreq(length, 1 / length, device=device)
    odd = n.remainder(2) == 1
    kernel = torch.where(odd, -1 / (math.pi * n.where(odd, torch.ones_like(n)) * spacing_mm) ** 2, 0.0)
    kernel[0] = 1 / (4 * spacing_mm**2)
    ramp = torch.fft.rfft(kernel).real * spacing_mm
    return ramp if window is None else ramp * window(torch.fft.rfftfreq(length, spacing_mm, device=device))


def filtered_back_projection(
    sinogram: Tensor,
    beam: ParallelBeam,
    shape: tuple[int, int],
    pixel_mm: float,
    *,
    window: Window | None = None,
) -> Tensor:
    """f(x, y) = (pi / V) sum over views of (h * p)(theta, x cos(theta) + y sin(theta)).

    Args:
        sinogram: line integrals, shape (slices, views, detectors).
        beam: the rays of the sinogram.
        shape: (rows, columns) of the image.
        pixel_mm: side of a pixel in mm.
        window: W, see `ramp_filter`.

    Returns:
        Attenuation per mm, shape (slices, rows, columns).
    """
    views = _filtered(sinogram, beam, window)
    cos, sin, steep = beam.directions()
    step = pixel_mm * OVERSAMPLING / beam.spacing_mm
    across = _smear(views[:, steep], cos[steep], sin[steep], shape, step)
    along = _smear(views[:, ~steep], sin[~steep], cos[~steep], shape[::-1], step)
    return (across + along.transpose(1, 2)) * (math.pi / beam.views)


def _filtered(sinogram: Tensor, beam: ParallelBeam, window: Window | None) -> Tensor:
    """The views convolved with the filter, OVERSAMPLING samples per detector, with a zero at either end."""
    length = _fast_length(2 * beam.detectors)
    response = ramp_filter(length, beam.spacing_mm, window, sinogram.device)
    spectrum = torch.fft.rfft(sinogram, n=length) * response
    fine = torch.fft.irfft(spectrum, n=length * OVERSAMPLING) * OVERSAMPLING
    fine = fine[..., : (beam.detectors - 1) * OVERSAMPLING + 1]
    return torch.nn.functional.pad(fine, (1, 1))


def _fast_length(least: int) -> int:
    """The smallest 2^a 3^b 5^c that is even and at least ``least``."""
    length = least + least % 2
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 2


def _smear(views: Tensor, cos: Tensor, sin: Tensor, shape: tuple[int, int], step: float) -> Tensor:
    """The sum of filtered views (slices, views, samples) over an image, given |cos| >= |sin| for each of them.

    Along a row, s advances by ``step`` * cos samples per pixel: with the view tabulated at that distance, PHASES
    times within it, every row of the image is one contiguous piece of the table. That makes back-projection a copy
    of rows, several times faster on a CPU than gathering pixel by pixel, and deterministic on every device, as
    nothing is scattered.
    """
    rows, columns = shape
    total = views.new_zeros(len(views), rows, columns)
    at_once = max(1, PIECES // (rows * columns))
    lean = sin / cos
    reach = math.ceil((rows - 1) / 2)  # pixels by which the first and last row shift at most
    length = columns + 2 * reach + 1
    start = ((torch.arange(rows) - (rows - 1) / 2) * lean[:, None] + reach) * PHASES
    start = start.round().long().to(views.device)
    first = start % PHASES * length + start // PHASES
    # A CPU takes one slice after the other, whose rows stay in its cache; the order of summation is the same.
    group = 1 if views.device.type == "cpu" else len(views)
    for block in torch.arange(views.shape[1]).split(8 * at_once):
        tables = _tables(views[:, block], cos[block] * step, columns, reach)
        for image, table in zip(total.split(group), tables.split(group), strict=True):
            for part, index in zip(table.split(at_once, 1), first[block].split(at_once), strict=True):
                # Of every slice and view, where each row of the image begins in the flattened table.
                begin = torch.arange(part.shape[:2].numel(), device=part.device) * part.shape[2]
                begin = begin.reshape(*part.shape[:2], 1) + index
                pieces = part.flatten().unfold(0, columns, 1).index_select(0, begin.flatten())
                image += pieces.reshape(*begin.shape, columns).sum(1)
    return total


def _tables(views: Tensor, step: Tensor, columns: int, reach: int) -> Tensor:
    """Every view at distances ``step`` / PHASES, one phase after the other: (slices, views, PHASES * length)."""
    slices, count, samples = views.shape
    length = columns + 2 * reach + 1
    pixel = torch.arange(length) - ((columns - 1) / 2 + reach)
    pixel = (pixel + torch.arange(PHASES)[:, None] / PHASES).flatten().to(views.device)
    position = pixel * step.to(views)[:, None] + (samples - 1) / 2
    position = position.clamp(0, samples - 1.001)
    left = position.floor()
    weight = position - left
    index = left.long() + torch.arange(count, device=views.device)[:, None] * samples
    flat = views.reshape(slices, -1)
    return torch.stack([torch.lerp(view[index], view[index + 1], weight) for view in flat])
