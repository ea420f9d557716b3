"""What every training loop and the sampling take of a card: step times, share of its limit, waiting for data, memory.

python benchmarks/gpu.py [--out FILE.json] [--seconds S] [--samples N] [--small]

The limit is measured in the same run: the better of a matrix product's and a convolution's rate, in the precision that
training has. A loop's share of it is the multiplications and additions of its steps, counted as torch's `flop_counter`
counts them, over the time that they took. The loops are those of the library, fed with noise in the shape of CT by
its own data path; how long a loop waits for its batches is told apart. Steps are timed after the first ones, and the
device is waited for at both ends. Without a GPU all is done on the CPU. `--small`: sizes for a test.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from operations import Operations
from stacked_flows import step_times

from CTInvarianceLib import Models, flow, train
from CTInvarianceLib.base import Cancelled, Reporter
from CTInvarianceLib.config import Config, config_from_dict, preset
from CTInvarianceLib.data import Patches, PatientSlices
from CTInvarianceLib.flow import ConditionalFlow, ConvolutionalFlow, ImageFlow
from CTInvarianceLib.phantoms import phantom_source, write_phantoms
from CTInvarianceLib.training import Run, make_fabric, plan_work, train_embedding
from CTInvarianceLib.training.ct_encoder import build_encoder, train_encoder
from CTInvarianceLib.training.denoiser import train_l2, train_wgan_vgg
from CTInvarianceLib.training.perceptual import EncoderFeatures

COUNTED, WARM, LEAST = (
    2,
    5,
    3,
)  # steps whose operations are counted, that are not timed, and that are, at least
Row = dict[str, float]
SMALL: dict[str, Any] = {
    "embedding": {"patch_size": 32, "width": 8, "batch_size": 2, "principal_patches": 300, "critic_width": 4},
    "denoisers": {
        "chen": {"batch_size": 2, "patch_size": 17},
        "yang": {"batch_size": 1, "patch_size": 32, "critic_width": 4, "critic_steps": 1},
    },
    "encoder": {"width": 4, "channels": 2, "patch_size": 32, "batch_size": 2},
    "flow": {"hidden": 8, "blocks": 2, "batch_size": 4},
}


class Pace:
    """Called after every step: counts the operations of some, times those that follow, and says when it is enough.

    Args:
        device: waited for at both ends.
        seconds: of the steps that are timed, at least.
        waited: how long batches have been waited for until now.
    """

    def __init__(
        self, device: torch.device, seconds: float, waited: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._device, self._seconds, self._waited = device, seconds, waited
        self._counter, self._steps = Operations(), 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def __call__(self) -> bool:
        self._steps += 1
        if self._steps == 1:
            self._counter.__enter__()
        elif self._steps == 1 + COUNTED:
            self._counter.__exit__(None, None, None)
        elif self._steps == 1 + COUNTED + WARM:
            self._start, self._began = self._now(), self._waited()
        timed = self._steps - 1 - COUNTED - WARM
        if timed < LEAST or time.perf_counter() - self._start < self._seconds:
            return False
        took = self._now() - self._start
        self.row: Row = {
            "step_s": took / timed,
            "flops": self._counter.total / COUNTED,
            "waiting": (self._waited() - self._began) / took,
            "memory_bytes": memory(self._device),
        }
        return True

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


class TimedRun(Run):
    """A run that knows how long its loop has waited for batches."""

    def batches(self, *arguments: Any, **named: Any) -> Iterator[Any]:
        drawn = super().batches(*arguments, **named)
        while True:
            start = time.perf_counter()
            batch = next(drawn)
            self.__dict__["waited"] = self.waited + time.perf_counter() - start
            yield batch

    waited = 0.0


def memory(device: torch.device) -> float:
    """The most that was taken since the loop began; of a CPU's process, ever. 0 where nobody knows."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else 1024 * peak)


def limits(device: torch.device, *, small: bool) -> Row:
    """Operations a second of a matrix product and of a convolution, forward."""
    side, images = (512, 4) if small else (8192, 64) if device.type == "cuda" else (2048, 8)
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    x = torch.randn(images, 256, 64, 64, device=device).to(memory_format=torch.channels_last)
    w = torch.randn(256, 256, 3, 3, device=device).to(memory_format=torch.channels_last)
    works = {
        "matrix product": (lambda: a @ b, 2 * side**3),
        "convolution": (lambda: F.conv2d(x, w, padding=1), 2 * images * 64**2 * 9 * 256**2),
    }
    found = {}
    for name, (work, operations) in works.items():
        pace = [work() for _ in range(2)]
        del pace
        start = Pace(device, 0)._now()
        repeats = 2 if small else 10
        for _ in range(repeats):
            work()
        found[name] = repeats * operations / (Pace(device, 0)._now() - start)
    return found


def patches(device: torch.device, *, small: bool) -> Patches:
    """Noise of soft tissue in two patients' slices."""
    rng, shape = np.random.default_rng(0), (2, 128, 128) if small else (32, 512, 512)
    full = [rng.normal(40, 20, shape).astype(np.int16) for _ in range(2)]
    patients = [
        PatientSlices(f"p{n}", each + rng.integers(-40, 41, shape, np.int16), each)
        for n, each in enumerate(full)
    ]
    return Patches(patients, device=device)


def training_loops(
    config: Config, vector: Config, spatial: Config
) -> dict[str, tuple[Config, Callable[[Run], object]]]:
    def yang(run: Run) -> object:
        features = EncoderFeatures(build_encoder(config.encoder).eval().requires_grad_(False))
        return train_wgan_vgg(run, "yang", run.fabric.to_device(features))

    return {
        "Chen, L2": (config, lambda run: train_l2(run, "chen")),
        "Yang, WGAN-GP": (config, yang),
        "encoder of CT": (config, train_encoder),
        "embedding, spatial": (spatial, lambda run: train_embedding(run, "low")),
        "embedding, vector": (vector, lambda run: train_embedding(run, "low")),
    }


def time_loop(
    config: Config, loop: Callable[[Run], object], slices: Patches, device: torch.device, seconds: float
) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        pace = Pace(device, seconds, lambda: run.waited)
        report = Reporter(lambda event: None, plan_work(config), should_stop=pace)
        run = TimedRun(
            config, Path(folder), make_fabric(config), report, slices, slices, {"run": "a benchmark"}
        )
        try:
            loop(run)
        except Cancelled:
            return pace.row
    raise SystemExit("the loop ended before it was timed")


def time_flow(
    network: Any, latents: torch.Tensor, conditions: torch.Tensor, batch: int, seconds: float
) -> Row:
    """A flow trained alone, from latents that lie on its device."""
    pace = Pace(latents.device, seconds)

    def progress(step: int, loss: float) -> None:
        if pace():
            raise Cancelled

    try:
        network.fit(latents, conditions, steps=10**6, batch_size=batch, progress=progress)
    except Cancelled:
        return pace.row
    raise SystemExit("the loop ended before it was timed")


def flows(config: Config, vector: Config, device: torch.device, seconds: float) -> dict[str, Row]:
    f, v, factor = config.flow, vector.flow, config.embedding.factor
    cells = f.patch_size // factor
    channels, maps = factor**2, ImageFlow.maps(factor)
    grid = ConvolutionalFlow(channels, maps, f.levels, f.blocks, f.hidden, condition_width=f.condition_width)
    wide = ConditionalFlow(vector.embedding.latent_dim, v.condition_dim, v.blocks, v.hidden)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(512, *shape, generator=torch.Generator().manual_seed(0)).to(device)

    return {
        "flow of images": time_flow(
            grid.to(device), drawn(channels, cells, cells), drawn(maps, cells, cells), f.batch_size, seconds
        ),
        "flow of vectors": time_flow(
            wide.to(device), drawn(vector.embedding.latent_dim), drawn(v.condition_dim), v.batch_size, seconds
        ),
    }


def together(config: Config, device: torch.device, seconds: float) -> dict[str, Row]:
    """All flows of images of a denoiser, for both domains: as one module, and one after another."""
    f, count = config.flow, 2 * len(config.denoisers["yang"].layers)
    cells, channels = f.patch_size // config.embedding.factor, config.embedding.factor**2
    generator = torch.Generator().manual_seed(0)

    def drawn(channels: int) -> list[torch.Tensor]:
        return [
            torch.randn(f.batch_size, channels, cells, cells, generator=generator).to(device)
            for _ in range(count)
        ]

    latents, conditions = drawn(channels), drawn(ImageFlow.maps(config.embedding.factor))
    alone = []
    for number, (latent, condition) in enumerate(zip(latents, conditions, strict=True)):
        each = ConvolutionalFlow(
            channels,
            condition.shape[1],
            f.levels,
            f.blocks,
            f.hidden,
            condition_width=f.condition_width,
            seed=number,
        ).to(device)
        with torch.no_grad():
            each.initialise(latent, condition)
        alone.append(each)
    stacks = {"stacked": [(flow.FlowStack(alone), (latents, conditions))]}
    stacks["one by one"] = [
        (flow.FlowStack([each]), ([latent], [condition]))
        for each, latent, condition in zip(alone, latents, conditions, strict=True)
    ]
    found = {}
    for name, parts in stacks.items():
        optimizers = [flow.make_optimizer(stack, f.weight_decay) for stack, _ in parts]
        pace = Pace(device, seconds)
        while not pace():
            for (stack, batch), optimizer in zip(parts, optimizers, strict=True):
                flow.descend(stack, optimizer, batch, max_norm=10.0 * cells**2)
        found[f"{count} flows, {name}"] = pace.row
    stacked, one_by_one = found.values()
    stacked["flops"] = one_by_one[
        "flops"
    ]  # torch counts a grouped convolution's gradients as if it were not grouped
    return found


def sampling(device: torch.device, samples: int, *, small: bool) -> dict[str, Row]:
    """Samples of one patch, drawn, corrected and measured, at every layer that `quick` has; hardly trained."""
    base = preset("quick").to_dict()
    side = 32 if small else 128
    base["embedding"]["patch_size"] = side
    base["flow"] |= {"steps": 2, "patches": 64, "batch_size": 8} | ({"patch_size": 32} if small else {})
    for each in base["denoisers"].values():
        each |= {"steps": 2, "batch_size": 2} | (
            {"patch_size": 32, "layers": each["layers"][-1:]} if small else {}
        )
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "phantoms")
        write_phantoms(
            source, patients=2, slices=1, size=64 if small else 256, pixel_mm=6.0 if small else 1.5
        )
        out = Path(folder, "run")
        train(
            config_from_dict(base),
            phantom_source(source),
            out,
            store=Path(folder, "store"),
            on_event=lambda e: None,
        )
        models = Models.load(out, device=str(device))
        patch = np.random.default_rng(0).normal(40, 20, (side, side)).astype(np.float32)
        for name in models.denoisers:
            for layer in models.layers(name):
                for _ in range(1 if small else 2):  # the first call prepares
                    pace = Pace(device, 0)
                    start = pace._now()
                    models.sample(patch, name, layer, n=samples)
                    took = pace._now() - start
                found[f"{samples} samples, {name} {layer}"] = {"step_s": took, "memory_bytes": memory(device)}
    return found


def configs(*, small: bool) -> tuple[Config, Config, Config]:
    """Of denoisers and the flow of images, as in `standard`; of vectors, as in `slides`; of the spatial embedding."""
    endless = {"steps": 10**6}

    def changed(name: str, embedding: dict[str, Any]) -> Config:
        plain = preset(name).to_dict()
        tables = [plain["embedding"], plain["flow"], plain["encoder"], *plain["denoisers"].values()]
        for table in tables:
            table |= endless
        plain["embedding"] |= embedding
        if small:
            for part in ("embedding", "encoder", "flow"):
                plain[part] |= SMALL[part]
            for denoiser, sizes in SMALL["denoisers"].items():
                plain["denoisers"][denoiser] |= sizes
        return config_from_dict(plain)

    return (
        changed("standard", {}).decided(),
        changed("slides", {"critic_from": 0.0}),
        changed("standard", {"kind": "spatial", "critic_from": 0.0}).decided(),
    )


def measure(device: torch.device, seconds: float, samples: int, *, small: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"limits": limits(device, small=small)}
    config, vector, spatial = configs(small=small)
    slices = patches(device, small=small)
    for name, (settings, loop) in training_loops(config, vector, spatial).items():
        settings = dataclasses.replace(settings, accelerator=device.type)
        found[name] = time_loop(settings, loop, slices, device, seconds)
    found |= flows(config, vector, device, seconds)
    found |= together(config, device, seconds)
    most = max(found["limits"].values())
    for row in itertools.islice(found.values(), 1, None):
        row["share"] = row["flops"] / row["step_s"] / most
    return found | vectors_together(device, small=small) | sampling(device, samples, small=small)


def vectors_together(device: torch.device, *, small: bool) -> dict[str, Row]:
    """A step of the vector flows of eleven layers, stacked, and of each after the other."""
    rows: dict[str, Row] = {}
    times = step_times(2 if small else 11, 1 if small else 5, device, kinds=("vector",))
    for name, ratio in times.items():
        memory_bytes = memory(device)
        rows[f"{name}, stacked"] = {"step_s": ratio.ours, "memory_bytes": memory_bytes}
        rows[f"{name}, one by one"] = {"step_s": ratio.theirs, "memory_bytes": memory_bytes}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--seconds", type=float, default=15.0, help="that every loop is timed")
    parser.add_argument("--samples", type=int, default=250)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = measure(device, arguments.seconds, arguments.samples, small=arguments.small)
    card = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{torch.get_num_threads()} CPU threads"
    )
    rates = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in found["limits"].items())
    print(f"{card}, torch {torch.__version__}; limits in TFLOP/s: {rates}")
    print(f"{'':36}{'ms':>10}{'GFLOP':>10}{'of limit':>10}{'waiting':>10}{'memory, MB':>12}")
    for name, row in found.items():
        if name != "limits":
            flops, share, waiting = (row.get(each) for each in ("flops", "share", "waiting"))
            texts = [
                "" if flops is None else f"{flops / 1e9:.2f}",
                *("" if each is None else f"{each:.1%}" for each in (share, waiting)),
            ]
            columns = "".join(f"{text:>10}" for text in texts)
            print(f"{name:36}{1e3 * row['step_s']:10.2f}{columns}{row['memory_bytes'] / 1e6:12.0f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
