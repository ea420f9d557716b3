"""Bringing samples within the tolerance, and measuring them: against the plain convolutions that this needs.

python benchmarks/correcting.py [--samples 25] [--repeats N]

Every product with J or Jᵀ, and every look at a sample, costs about one pass of the denoiser. The passes are counted,
and the denoiser alone is timed on as many images of that size, without gradients.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from timing import compare

from CTInvarianceLib.config import preset
from CTInvarianceLib.denoisers import View, reach
from CTInvarianceLib.models import build_denoiser
from CTInvarianceLib.tensors import batch_size
from CTInvarianceLib.tolerance import LocalLayer, Metric, Noise, measure_gain, move_within, one_rescan
from CTInvarianceLib.trust import gather_evidence
from CTInvarianceLib.volumes import Region

THREADS, SIDE, SLICE, TOLERANCE = 2, 128, 512, 0.5
FAR = 0.7  # of the noise: the proposals lie outside the tolerance


def measure(name: str, cut: str, samples: int, repeats: int) -> None:
    """Print passes, seconds and ratios of one layer."""
    denoiser = build_denoiser(preset("quick").denoisers[name]).eval().requires_grad_(False)
    image = 0.06 * torch.randn(1, 1, SLICE, SLICE, generator=torch.Generator().manual_seed(0))
    region = Region((SLICE - SIDE) // 2, (SLICE - SIDE) // 2, SIDE, SIDE)
    layer = LocalLayer(denoiser, cut, View.of(image, region, reach(denoiser, cut)))
    noise = Noise.of_scan(region.of(image), 0.25)
    z = layer.linearize(region.of(image))
    epsilon = TOLERANCE * one_rescan(layer, noise)
    metric = Metric(noise.spectrum.on(SIDE, SIDE), measure_gain(layer, SIDE, SIDE))
    draws = noise.draw(samples, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    proposed = region.of(image) + FAR * draws
    windows = layer.view.with_region(proposed)
    batch = batch_size(windows.shape[-1] * windows.shape[-2], windows.device)

    def correct() -> None:
        for some in proposed.split(batch):
            move_within(layer, metric, some, z, epsilon)

    def look() -> None:
        gather_evidence(layer, proposed, noise=noise, quiet=region.of(image), epsilon=epsilon, batch=batch)

    for title, work in (("correcting", correct), ("measuring", look)):
        passes = _counted(layer, denoiser, work) / samples

        def plain(passes: float = passes) -> None:
            for some in windows.repeat(round(passes), 1, 1, 1).split(batch):
                denoiser(some)

        with torch.inference_mode():
            ratio = compare(work, plain, repeats=repeats, warm_up=1)
        print(
            f"{name}, layer {cut}, {title}: {passes:.1f} passes a sample, {ratio.ours:.2f} s;"
            f" plain convolutions {ratio.theirs:.2f} s; ratio {ratio.ratio:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=25)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    print(f"{THREADS} threads, {arguments.samples} samples of {SIDE}×{SIDE} in {SLICE}×{SLICE}")
    for name, cut in (("chen", "5"), ("yang", "8")):
        measure(name, cut, arguments.samples, arguments.repeats)


def _counted(layer: LocalLayer, denoiser: torch.nn.Module, work: Callable[[], None]) -> int:
    """Images that go through Φ, J or Jᵀ, and through the whole denoiser."""
    before, whole = layer.passes, []
    handle = denoiser.register_forward_hook(lambda module, inputs, output: whole.append(len(inputs[0])))
    with torch.inference_mode():
        work()
    handle.remove()
    return layer.passes - before + sum(whole)


if __name__ == "__main__":
    main()
