"""A whole run: data, embeddings, denoisers, flows; every finished part is saved at once and not done twice."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import __version__
from ..builders import build_denoiser, build_embedding, build_flow
from ..config import DOMAINS, PRESETS, Config, preset, read_config
from ..dataset import Patches, PatientSlices, load_patients, too_small
from ..errors import ConfigError, ModelsError
from ..manifest import (
    MANIFEST,
    denoiser_file,
    embedding_file,
    flow_file,
    read_manifest,
    unrelated_file,
    write_manifest,
)
from ..models import Models
from ..normalization import denormalize
from ..pairs import SeriesPair
from ..partition import split_patients
from ..perceptual import load_vgg19
from ..protocol import Cancelled, Event, OnEvent, Reporter
from ..scan import find_pairs
from ..weights import load_module, save_tensors
from .denoiser import train_l2, train_wgan_vgg
from .embedding import train_embedding
from .flow import make_conditions, make_pool, train_flow
from .plan import flow_stage, plan_work
from .run import Run, make_fabric, seeded

_LINGER_S = 2.0  # gloo calls a barrier failed where another process has passed it and left already
_UNRELATED = 24  # patches for the ceiling of R


def train(
    config: Config | str | Path,
    data: Path | str | Sequence[SeriesPair],
    out: Path | str,
    *,
    resume: bool = True,
    on_event: OnEvent = print,
    should_stop: Callable[[], bool] = lambda: False,
) -> Models:
    """Train every stage (docs/method.md) and save a model set.

    Args:
        config: a configuration, the name of a preset, or the path of a TOML or JSON file.
        data: a source for `find_pairs`, or pairs.
        out: folder of the model set; what is finished in it is kept.
        resume: go on with a run that lies in `out`; False: it is an error if there is one.
        on_event: gets every event (docs/method.md).
        should_stop: asked at every step; True ends the run, keeping what is done, with `Cancelled`.

    Raises:
        ConfigError, DataError, VolumeError, WeightsError: before anything is written.
        ModelsError: `out` holds another run.
    """
    config, out = _as_config(config), Path(out)
    _check(config, out, resume=resume)
    if int(os.environ.get("RANK", "0")) > 0:
        on_event = _nothing  # of several processes, the first speaks for all
    report = Reporter(on_event, plan_work(config), job=out.name, should_stop=should_stop)
    report.emit("started", config=config.name, folder=str(out))
    try:
        run = _prepare(config, data, out, report)
        if run.fabric.is_global_zero:
            _log_to_file(report, out)
        guide = config.embedding.guide
        denoisers = {guide: _denoiser(run, guide, None)} if guide else {}
        embeddings = {domain: _embedding(run, domain, denoisers.get(guide)) for domain in DOMAINS}
        for name in config.denoisers:
            denoisers[name] = denoisers.get(name) or _denoiser(run, name, embeddings["full"])
        _flows(run, embeddings, denoisers)
    except Cancelled:
        report.emit("cancelled", folder=str(out))
        raise
    run.fabric.barrier()
    if not run.fabric.is_global_zero:
        time.sleep(_LINGER_S)
    report.emit("result", folder=str(out))
    return Models.load(out, device=str(run.fabric.device))


def _as_config(config: Config | str | Path) -> Config:
    if isinstance(config, Config):
        return config
    return preset(str(config)) if str(config) in PRESETS else read_config(config)


def _check(config: Config, out: Path, *, resume: bool) -> None:
    """All that can be known to be wrong before hours are spent."""
    if not config.denoisers:
        raise ConfigError("the configuration names no denoiser", where=config.name)
    build_embedding(config)
    _check_guide(config)
    for settings in config.denoisers.values():
        denoiser = build_denoiser(settings)
        for layer in settings.layers:
            build_flow(config, denoiser, layer)
    uses_vgg = config.embedding.perceptual == "vgg19" or any(
        d.loss == "wgan-vgg" and d.perceptual == "vgg19" and not d.weights for d in config.denoisers.values()
    )
    if uses_vgg:
        load_vgg19(config.vgg19)
    if not (out / MANIFEST).exists():
        return
    if not resume:
        raise ModelsError(
            "there is a run in this folder already", where=out, hint="Resume it, or choose another folder."
        )
    if read_manifest(out)["config"] != config.to_dict():
        raise ModelsError(
            "the run in this folder has another configuration",
            where=out,
            hint="Choose another folder, or resume with the configuration it was started with.",
        )


def _check_guide(config: Config) -> None:
    """A decoder that sees f(x) shows the invariances of f's layers only: f(x) is a function of their z."""
    guide = config.embedding.guide
    if not guide:
        return
    if guide not in config.denoisers:
        raise ConfigError(
            "no denoiser of this name to guide the decoder",
            where=f"embedding, guide {guide!r}",
            hint=f"There are {', '.join(config.denoisers)}.",
        )
    settings = config.denoisers[guide]
    if settings.loss == "wgan-vgg" and settings.perceptual == "embedding" and not settings.weights:
        raise ConfigError(
            "the denoiser learns from the embedding that it is to guide",
            where=f"embedding, guide {guide!r}",
            hint='Train it with perceptual = "vgg19", or choose another guide.',
        )
    others = [name for name, other in config.denoisers.items() if other.layers and name != guide]
    if others:
        raise ConfigError(
            f"the decoder is guided by {guide}, so the layers of {', '.join(others)} cannot be sampled",
            where="embedding, guide",
            hint="Train another model set for them.",
        )


def _prepare(config: Config, data: Path | str | Sequence[SeriesPair], out: Path, report: Reporter) -> Run:
    """Read the data, split them, and write the manifest: from here on there is a run to resume."""
    pairs = find_pairs(data) if isinstance(data, (str, Path)) else list(data)
    training, validation = split_patients([p.patient_id for p in pairs], config.data, seed=config.seed)
    patients = load_patients(
        pairs, config.data, seed=config.seed, progress=lambda fraction: report.progress("data", fraction)
    )
    report.forget_speed()  # reading and simulating is nothing like training
    _check_sizes(patients, config)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        fabric = make_fabric(config)
    parts = [[p for p in patients if p.patient_id in ids] for ids in (training, validation or training)]
    run = Run(config, out, fabric, report, *(Patches(part, skip_air=config.data.skip_air) for part in parts))
    if fabric.is_global_zero:
        _keep_manifest(run, {"training": training, "validation": validation})
    return run


def _keep_manifest(run: Run, patients: dict[str, list[str]]) -> None:
    """Write the manifest of a new run; a resumed one must be of the same patients."""
    if (run.folder / MANIFEST).exists():
        if read_manifest(run.folder)["patients"] != patients:
            raise ModelsError(
                "the run in this folder was started with other patients",
                where=run.folder,
                hint="Choose another folder, or give the same data.",
            )
        return
    _save_unrelated(run)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    write_manifest(run.folder, run.config, library=__version__, created=created, patients=patients)


def _check_sizes(patients: Sequence[PatientSlices], config: Config) -> None:
    size = max(config.embedding.patch_size, *(d.patch_size for d in config.denoisers.values()))
    for patient in patients:
        _, rows, columns = patient.full_dose.shape
        if min(rows, columns) < size:
            raise too_small(patient.patient_id, (rows, columns), size)


def _save_unrelated(run: Run) -> None:
    generator = seeded(run.config.seed, "unrelated")
    low, full = run.validation.draw(_UNRELATED, run.config.embedding.patch_size, generator=generator)
    tensors = {d: denormalize(t).round().to(torch.int16) for d, t in zip(DOMAINS, (low, full), strict=True)}
    save_tensors(run.folder / unrelated_file(), tensors)


def _nothing(event: Event) -> None:
    """Hear no event."""


def _log_to_file(report: Reporter, out: Path) -> None:
    """Append every event but progress to `log.jsonl`, beside whoever else listens."""

    def log(event: Event) -> None:
        if event["event"] != "progress":
            with (out / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(event) + "\n")

    report.listen(log)


def _embedding(run: Run, domain: str, guide: nn.Module | None) -> Any:
    return _finished(
        run,
        f"embedding {domain}",
        embedding_file(domain),
        lambda: build_embedding(run.config),
        lambda: train_embedding(run, domain, guide),
    )


def _denoiser(run: Run, name: str, embedding: Any) -> nn.Module:
    settings = run.config.denoisers[name]

    def make() -> nn.Module:
        if settings.weights:
            loaded = build_denoiser(settings)
            load_module(loaded, Path(settings.weights))
            return loaded.eval().requires_grad_(False)
        if settings.loss == "none":
            return build_denoiser(settings)
        return train_l2(run, name) if settings.loss == "l2" else train_wgan_vgg(run, name, embedding)

    return _finished(run, f"denoiser {name}", denoiser_file(name), lambda: build_denoiser(settings), make)


def _finished(run: Run, stage: str, file: str, build: Callable[[], Any], make: Callable[[], Any]) -> Any:
    """The part of the model set that lies in `file`: loaded where it is there, else made and saved."""
    path = run.folder / file
    if path.is_file():
        module = build()
        load_module(module, path)
        run.report.skip(stage)
        return run.fabric.to_device(module.eval().requires_grad_(False))
    module = make()
    if run.fabric.is_global_zero:
        save_tensors(path, module.state_dict())
        run.checkpoint_file(stage).unlink(missing_ok=True)
    run.fabric.barrier()
    run.report.progress(stage, 1.0)
    return run.fabric.to_device(module)


def _flows(run: Run, embeddings: dict[str, Any], denoisers: dict[str, nn.Module]) -> None:
    """One flow per denoiser, layer and domain; conditions are shared by the domains, latents by the layers."""
    pool = None
    for name, denoiser in denoisers.items():
        layers = list(run.config.denoisers[name].layers)
        wanted = [
            (la, d) for la in layers for d in DOMAINS if not (run.folder / flow_file(name, la, d)).is_file()
        ]
        for layer in layers:
            for domain in DOMAINS:
                if (layer, domain) not in wanted:
                    run.report.skip(flow_stage(name, layer, domain))
        if not wanted:
            run.report.skip(f"conditions {name}")
            continue
        pool = pool or make_pool(run, embeddings, denoisers)
        open_layers = list(dict.fromkeys(layer for layer, _ in wanted))
        conditions = make_conditions(run, pool, name, denoiser, open_layers, f"conditions {name}")
        for layer, domain in wanted:
            stage = flow_stage(name, layer, domain)
            flow = train_flow(run, denoiser, layer, conditions[layer], pool.posteriors[domain], stage)
            if run.fabric.is_global_zero:
                save_tensors(run.folder / flow_file(name, layer, domain), flow.state_dict())
