"""A whole run: data, embeddings, denoisers, flows; every finished part is saved at once and not done twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import nn

from ..base import (
    Cancelled,
    ConfigError,
    Event,
    ModelsError,
    OnEvent,
    Reporter,
    as_path,
    json_text,
    require_folder,
)
from ..config import (
    DOMAINS,
    LOG,
    MANIFEST,
    PRESETS,
    Config,
    configuration,
    denoiser_file,
    embedding_file,
    encoder_file,
    flow_file,
    path_in,
    preset,
    read_config,
    read_manifest,
)
from ..data import Data, Store, store_at
from ..flow import ImageFlow, LayerFlow
from ..models import Models, build_denoiser, build_embedding, build_flow, load_module, require_weights
from ..tensors import processes, together
from .board import open_board
from .critic import Critic
from .ct_encoder import STAGE, build_encoder, train_encoder
from .denoiser import train_l2, train_wgan_vgg
from .embedding import build_critic, train_embedding
from .example import Example, forget, show_sample
from .flow import FlowSource, train_flows
from .image_flow import ImageSource
from .latent_flow import LatentSource
from .lock import FolderLock
from .perceptual import EncoderFeatures, load_vgg19
from .plan import conditions_stage, flow_stages, plan_cost, plan_work
from .prepare import prepare
from .run import Run

_NETWORKS = 32  # as large as one may be, together; they lie on disk only, and are built one after another


def train(
    config: Config | str | Path,
    data: Data,
    out: Path | str,
    *,
    resume: bool = True,
    store: Path | str | None = None,
    allow_download: bool = False,
    on_event: OnEvent = print,
    should_stop: Callable[[], bool] = lambda: False,
) -> Models:
    """Train every stage (docs/method.md) and save a model set.

    Args:
        config: a configuration, the name of a preset, or the path of a TOML or JSON file.
        data: a source for `find_pairs`, or pairs.
        out: folder of the model set; what is finished in it is kept.
        resume: go on with a run that lies in `out`; False: it is an error if there is one.
        store: folder in which series lie converted, and are kept for later runs; None: in the user's cache.
        allow_download: whether VGG19's published weights may be fetched where the configuration says "download": a
            configuration may come from elsewhere, so it alone does not decide that.
        on_event: gets every event (docs/method.md).
        should_stop: asked at every step; True ends the run, keeping what is done, with `Cancelled`.

    Raises:
        ConfigError, DataError, VolumeError, WeightsError: before anything is written.
        ModelsError: `out` holds another run, or parts of one, or another training writes there.
        ProcessError: another one of several processes has failed.
    """
    config, out = _as_config(config).decided(), as_path(out)
    cost = plan_cost(config, _check(config, allow_download=allow_download))
    with together() as own, FolderLock(out, leads=own.leads) as lock:
        require_folder(out)
        _check_folder(config, out, resume=resume)
        heard = on_event if own.leads else _nothing
        plan = plan_work(config)
        report = Reporter(heard, plan, job=out.name, apart=["data"], should_stop=should_stop)
        report.emit("started", config=config.name, folder=str(out), plan=plan, **cost)
        return _train(config, data, out, store_at(store), lock, report)


def _train(
    config: Config,
    data: Data,
    out: Path,
    store: Store,
    lock: FolderLock,
    report: Reporter,
) -> Models:
    board = None
    try:
        run = prepare(config, data, out, report, store, lock)
        if run.fabric.is_global_zero:
            _log_to_file(report, out)
            board = open_board(run)
            run = replace(run, shows=(Example(run).show, *((board.show,) if board else ())))
        guide = config.embedding.guide
        encoder = _encoder(run) if config.needs_encoder else None
        denoisers = {guide: _denoiser(run, guide, None, encoder)} if guide else {}
        embeddings: dict[str, Any] = {
            domain: _embedding(run, domain, denoisers.get(guide)) for domain in DOMAINS
        }
        for name in config.denoisers:
            denoisers[name] = denoisers.get(name) or _denoiser(run, name, embeddings["full"], encoder)
        if board:
            for name, denoiser in denoisers.items():
                board.finish(f"denoiser {name}", denoiser)
        _flows(run, embeddings, denoisers)
        forget(run)
    except Cancelled:
        report.emit("cancelled", folder=str(out))
        raise
    finally:
        if board:
            board.close()
    run.fabric.barrier()
    report.emit("result", folder=str(out))
    return Models.load(out, device=str(run.fabric.device))


def _as_config(config: Config | str | Path) -> Config:
    if isinstance(config, Config):
        return config
    return preset(str(config)) if str(config) in PRESETS else read_config(config)


def _check(config: Config, *, allow_download: bool) -> int:
    """All of a configuration that can be known to be wrong before hours are spent; the weights there will be."""
    config.check()
    if not config.denoisers:
        raise ConfigError("the configuration names no denoiser", where=config.name)
    embedding = build_embedding(config)
    _check_guide(config)
    if not embedding.closed_form:
        build_critic(config.embedding, seed=config.seed)
    saved = len(DOMAINS) * _count(embedding)
    if config.needs_encoder:
        saved += _count(build_encoder(config.encoder))
    weights = 0
    for settings in config.denoisers.values():
        denoiser = build_denoiser(settings)
        saved += _count(denoiser)
        if settings.loss == "wgan-vgg" and not settings.weights:
            Critic(settings.patch_size, settings.critic_width)
        for layer in settings.layers:
            flow = build_flow(config, denoiser, layer, "low")  # that of the other domain has the same size
            weights += len(DOMAINS) * _count(flow)
            require_weights(weights // _NETWORKS, "denoisers, layers", "flows, or fewer layers")
    uses_vgg = config.embedding.perceptual == "vgg19" or any(
        each.learns_from("vgg19") for each in config.denoisers.values()
    )
    if uses_vgg:
        load_vgg19(config.vgg19, allow_download=allow_download)
    _check_batches(config)
    return saved + weights


def _count(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def _check_folder(config: Config, out: Path, *, resume: bool) -> None:
    """Raise ModelsError where a folder holds another run, or one that is not to be gone on with."""
    if not (out / MANIFEST).exists():
        return
    if not resume:
        raise ModelsError(
            "there is a run in this folder already", where=out, hint="Resume it, or choose another folder."
        )
    if configuration(read_manifest(out), out) != config:
        raise ModelsError(
            "the run in this folder has another configuration",
            where=out,
            hint="Choose another folder, or resume with the configuration it was started with.",
        )


def _check_batches(config: Config) -> None:
    """Several processes share every batch, so that they learn what one alone would."""
    count = processes().count
    sizes = {name: settings.batch_size for name, settings in config.denoisers.items()}
    sizes |= {"embedding": config.embedding.batch_size, "flow": config.flow.batch_size}
    if config.needs_encoder:
        sizes["encoder"] = config.encoder.batch_size
    for name, size in sizes.items():
        if size % count:
            raise ConfigError(
                f"a batch of {size} patches cannot be shared by {count} processes",
                where=f"{name}, batch_size",
                hint=f"Take a multiple of {count}, or another number of processes.",
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
    if settings.learns_from("embedding"):
        raise ConfigError(
            "the denoiser learns from the embedding that it is to guide",
            where=f"embedding, guide {guide!r}",
            hint='Train it with perceptual = "ct" or "vgg19", or choose another guide.',
        )
    others = [name for name, other in config.denoisers.items() if other.layers and name != guide]
    if others:
        raise ConfigError(
            f"the decoder is guided by {guide}, so the layers of {', '.join(others)} cannot be sampled",
            where="embedding, guide",
            hint="Train another model set for them.",
        )


def _nothing(event: Event) -> None:
    """Hear no event."""


def _log_to_file(report: Reporter, out: Path) -> None:
    """Append every event but progress to `log.jsonl`, beside whoever else listens."""
    path = path_in(out, LOG)
    if path.exists() and not (before := path.read_bytes()).endswith(b"\n"):  # a disk was full
        os.truncate(path, before.rfind(b"\n") + 1)

    def log(event: Event) -> None:
        if event["event"] == "progress":
            return
        try:
            with path_in(out, LOG).open("a", encoding="utf-8") as file:
                file.write(json_text(event) + "\n")
        except OSError as error:
            error.filename = error.filename or str(path)  # a full disk has no name
            raise

    report.listen(log)


def _embedding(run: Run, domain: str, guide: nn.Module | None) -> Any:
    return _finished(
        run,
        f"embedding {domain}",
        embedding_file(domain),
        lambda: build_embedding(run.config),
        lambda: train_embedding(run, domain, guide),
    )


def _encoder(run: Run) -> Any:
    build = partial(build_encoder, run.config.encoder)
    return _finished(run, STAGE, encoder_file(), build, lambda: train_encoder(run))


def _denoiser(run: Run, name: str, embedding: Any, encoder: Any) -> nn.Module:
    settings = run.config.denoisers[name]

    def make() -> nn.Module:
        if settings.weights:
            loaded = build_denoiser(settings)
            load_module(loaded, Path(settings.weights))
            return loaded.eval().requires_grad_(False)
        if settings.loss == "none":
            return build_denoiser(settings)
        if settings.loss == "l2":
            return train_l2(run, name)
        if settings.perceptual == "vgg19":
            return train_wgan_vgg(run, name, run.fabric.to_device(load_vgg19(run.config.vgg19)))
        return train_wgan_vgg(
            run, name, EncoderFeatures(encoder if settings.perceptual == "ct" else embedding)
        )

    return _finished(run, f"denoiser {name}", denoiser_file(name), lambda: build_denoiser(settings), make)


def _finished(run: Run, stage: str, file: str, build: Callable[[], Any], make: Callable[[], Any]) -> Any:
    """The part of the model set that lies in `file`: loaded where it is there, else made and saved."""
    if known := run.known(file):
        module = build()
        load_module(module, path_in(run.folder, file))
        module.eval().requires_grad_(False)
        run.report.skip(stage)
    else:
        module = make()
        run.save(file, module.state_dict())
    run.end_stage(stage)  # also of a run that was ended in between
    if not known:
        run.report.progress(stage, 1.0)
    return run.fabric.to_device(module)


def _flows(run: Run, embeddings: dict[str, Any], denoisers: dict[str, nn.Module]) -> None:
    """A flow for every denoiser, layer and domain; those of a denoiser are trained together."""
    for name in denoisers:
        for stage, layers in flow_stages(run.config, name).items():
            _flows_together(run, embeddings, denoisers, name, layers, stage)


def _flows_together(
    run: Run,
    embeddings: dict[str, Any],
    denoisers: dict[str, nn.Module],
    name: str,
    layers: tuple[str, ...],
    stage: str,
) -> None:
    conditions = conditions_stage(stage)
    files = {
        f"layer {layer} {domain}": flow_file(name, layer, domain) for layer in layers for domain in DOMAINS
    }
    if all([run.known(file) for file in files.values()]):
        run.report.skip(conditions)
        run.report.skip(stage)
        run.end_stage(stage)
        return
    flows = [
        build_flow(run.config, denoisers[name], layer, domain).to(run.fabric.device)
        for layer in layers
        for domain in DOMAINS
    ]
    source: FlowSource
    if run.config.embedding.kind == "complete":
        source = ImageSource(run, name, denoisers, layers, cast(list[ImageFlow], flows))
    else:
        source = LatentSource(run, name, denoisers, embeddings, layers, cast(list[LayerFlow], flows))
    inner = dict(zip(files, (flow.flow for flow in flows), strict=True))
    train_flows(run, source, inner, conditions=conditions, stage=stage)
    if isinstance(source, ImageSource):
        show_sample(run, stage, *source.example(run.config.seed))
    for file, flow in zip(files.values(), flows, strict=True):
        run.save(file, flow.state_dict())
    run.end_stage(stage)
    run.report.progress(stage, 1.0)
