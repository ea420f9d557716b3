"""250 samples of one 128x128 patch, decoded: all at once, as we do, against one at a time, as the reference does.

python benchmarks/sampling.py [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from timing import compare

from CTInvarianceLib.builders import build_denoiser, build_embedding, build_flow
from CTInvarianceLib.config import preset
from CTInvarianceLib.sampling import TrainedLayer, draw_images

SAMPLES = 250
THREADS = 2


def layer(denoiser: str, name: str) -> TrainedLayer:
    """Networks of the quick preset's size; what they compute does not change how long they take."""
    config = preset("quick")
    network = build_denoiser(config.denoisers[denoiser])
    flow = build_flow(config, network, name)
    with torch.no_grad():
        flow.stem.fit([torch.randn(4, flow.stem.channels, 128, 128)])
    unrelated = torch.zeros(1, 1, 128, 128)
    return TrainedLayer(network, name, "low", build_embedding(config).eval(), flow.eval(), unrelated)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    patch = np.zeros((128, 128), np.float32)
    figures = {}
    for denoiser, name in (("chen", "1"), ("yang", "8")):
        trained = layer(denoiser, name)

        def together(trained: TrainedLayer = trained) -> None:
            draw_images(trained, patch, n=SAMPLES, seed=0)

        def one_at_a_time(trained: TrainedLayer = trained) -> None:
            for seed in range(SAMPLES):
                draw_images(trained, patch, n=1, seed=seed)

        figures[f"{denoiser}, layer {name}"] = compare(together, one_at_a_time, repeats=5, warm_up=1)
    print(f"{SAMPLES} samples of 128x128, decoded, {THREADS} threads")
    print(f"{'':18}{'at once, s':>12}{'one by one, s':>15}{'ratio':>7}")
    for title, value in figures.items():
        print(f"{title:18}{value.ours:12.2f}{value.theirs:15.2f}{value.ratio:7.3f}")
    if arguments.out:
        arguments.out.write_text(
            json.dumps({title: asdict(value) for title, value in figures.items()}, indent=2)
        )


if __name__ == "__main__":
    main()
