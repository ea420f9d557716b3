"""Samples of the spatial embedding: against the vector one, one at a time, and decoding against MONAI's AutoencoderKL.

python benchmarks/sampling.py [--out FILE.json] [--repeats N] [--ratios]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from monai.networks.nets import AutoencoderKL
from timing import Ratio, compare

from CTInvarianceLib.config import Config, preset
from CTInvarianceLib.models import build_denoiser, build_embedding, build_flow
from CTInvarianceLib.sampling import TrainedLayer, draw
from CTInvarianceLib.volumes import Region

SAMPLES = 250
THREADS = 2
PATCH, SLICE = 128, 512
ONE_BY_ONE = 25  # of the samples; the time of all of them is ten times as long
TIMES = 4  # as many, to see that time grows as the samples do


def spatial() -> Config:
    """The quick preset as it would be with a spatial embedding."""
    quick = preset("quick")
    return dataclasses.replace(
        quick,
        embedding=dataclasses.replace(quick.embedding, kind="spatial"),
        flow=dataclasses.replace(quick.flow, blocks=4),
    )


def vector() -> Config:
    """The quick preset as it would be with a vector embedding."""
    quick = preset("quick")
    return dataclasses.replace(
        quick,
        embedding=dataclasses.replace(quick.embedding, kind="vector", width=32),
        flow=dataclasses.replace(quick.flow, regressed=16, condition_dim=64, blocks=6, hidden=192),
    )


def layer(config: Config, denoiser: str, name: str) -> TrainedLayer:
    """Networks of a preset's size; what they compute does not change how long they take."""
    network = build_denoiser(config.denoisers[denoiser])
    flow = build_flow(config, network, name, "low")
    with torch.no_grad():
        flow.stem.fit([torch.randn(4, flow.stem.channels, PATCH, PATCH)])
    unrelated = torch.zeros(1, 1, PATCH, PATCH)
    return TrainedLayer(network, name, "low", build_embedding(config).eval(), flow.eval(), unrelated)


def drawing(trained: TrainedLayer, side: int, n: int, tile: int | None = None) -> Callable[[], None]:
    """n samples of an image of side × side pixels, decoded."""
    image = torch.zeros(1, 1, side, side)

    def work() -> None:
        draw(trained, trained.view(image, Region.whole(image)), n=n, seeds=[0], tile=tile)

    return work


def again(work: Callable[[], None], times: int) -> Callable[[], None]:
    def repeated() -> None:
        for _ in range(times):
            work()

    return repeated


def decoding(repeats: int) -> Ratio:
    """25 latents of 128×128 pixels; MONAI's network as in `embeddings.py`, with as many numbers."""
    ours = build_embedding(spatial()).eval()
    theirs = AutoencoderKL(
        spatial_dims=2, in_channels=1, out_channels=1, latent_channels=8, channels=(32, 64, 64), num_res_blocks=1,
        attention_levels=(False,) * 3, with_encoder_nonlocal_attn=False, with_decoder_nonlocal_attn=False,
    ).eval()  # fmt: skip
    latents = torch.randn(25, 8, PATCH // 4, PATCH // 4)
    with torch.inference_mode():
        return compare(
            lambda: ours.decode(latents), lambda: theirs.decode(latents), repeats=repeats, warm_up=1
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ratios", action="store_true", help="without the times of 250 samples")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    repeats, figures = arguments.repeats, {}
    for denoiser, name in (("chen", "1"), ("yang", "8")):
        grid, other = layer(spatial(), denoiser, name), layer(vector(), denoiser, name)
        title, some = f"{denoiser}, layer {name}", drawing(grid, PATCH, ONE_BY_ONE)
        figures[f"25 of a patch, {title}: at once, one by one"] = compare(
            some, again(drawing(grid, PATCH, 1), ONE_BY_ONE), repeats=repeats, warm_up=1
        )
        figures[f"100 of a patch, {title}: at once, 4 times 25"] = compare(
            drawing(grid, PATCH, TIMES * ONE_BY_ONE), again(some, TIMES), repeats=repeats, warm_up=1
        )
        if not arguments.ratios:
            figures[f"250 of a patch, {title}: spatial, vector"] = compare(
                drawing(grid, PATCH, SAMPLES), drawing(other, PATCH, SAMPLES), repeats=repeats, warm_up=1
            )
        figures[f"one slice, {title}: whole, in tiles of 128"] = compare(
            drawing(grid, SLICE, 1), drawing(grid, SLICE, 1, tile=PATCH), repeats=repeats, warm_up=1
        )
    figures["25 patches decoded: ours, MONAI's"] = decoding(repeats)
    print(f"{THREADS} threads; patches of {PATCH}×{PATCH}, slices of {SLICE}×{SLICE}")
    print(f"{'':52}{'first, s':>10}{'second, s':>11}{'ratio':>7}")
    for title, value in figures.items():
        print(f"{title:52}{value.ours:10.2f}{value.theirs:11.2f}{value.ratio:7.3f}")
    if arguments.out:
        arguments.out.write_text(
            json.dumps({title: asdict(value) for title, value in figures.items()}, indent=2)
        )


if __name__ == "__main__":
    main()
