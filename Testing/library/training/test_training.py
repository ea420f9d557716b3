"""A whole run in small: resuming, cancelling, events, and what it refuses."""

from __future__ import annotations

import dataclasses
import json

import pytest
import tiny
import torch

import CTInvarianceLib as cti
from CTInvarianceLib.base import (
    Cancelled,
    ConfigError,
    DataError,
    LayerError,
    ModelsError,
    VolumeError,
    WeightsError,
)
from CTInvarianceLib.config import recognised
from CTInvarianceLib.models import load_tensors, save_tensors
from CTInvarianceLib.training import checkpoint


@pytest.fixture(scope="module")
def source(tiny_source):
    return tiny_source


@pytest.fixture(scope="module", params=tiny.KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def trained(kind, source, tmp_path_factory):
    events = []
    out = tmp_path_factory.mktemp("runs") / "run"
    models = cti.train(tiny.config(kind), source, out, on_event=events.append)
    return models, out, events


def files(out):
    """Of a model set, without TensorBoard's event files, which are there where it is installed."""
    found = [p.relative_to(out) for p in out.rglob("*") if p.is_file()]
    return sorted(str(path) for path in found if path.parts[0] != "tensorboard")


def test_a_run_leaves_a_model_set_and_nothing_else(trained):
    models, out, _ = trained
    layers = [("chen", "1"), ("chen", "5"), ("yang", "8"), ("identity", "1")]
    assert files(out) == sorted(
        [
            ".lock", "models.json", "log.jsonl", "unrelated.safetensors",
            *(f"denoisers/{n}.safetensors" for n in ("chen", "yang", "identity")),
            *(f"embeddings/{d}.safetensors" for d in ("low", "full")),
            *(f"flows/{n}-{la}-{d}.safetensors" for n, la in layers for d in ("low", "full")),
        ]
    )  # fmt: skip
    assert models.denoisers == ["chen", "yang", "identity"]
    assert models.layers("chen") == ["1", "5"]


def test_patients_are_split_once_and_kept_in_the_manifest(trained):
    models, *_ = trained
    patients = models.manifest["patients"]
    assert len(patients["training"]) == 2
    assert len(patients["validation"]) == 1
    assert not set(patients["training"]) & set(patients["validation"])


def test_the_manifest_recognises_patients_and_tells_none(trained, source):
    models, out, _ = trained
    names = sorted({pair.patient_id for pair in cti.find_pairs(source)})
    known = recognised(models.manifest, [*names, "somebody else"])
    assert sorted(name for ids in known.values() for name in ids) == names
    assert {part: len(ids) for part, ids in known.items()} == {
        part: len(ids) for part, ids in models.manifest["patients"].items()
    }
    text = (out / "models.json").read_text()
    assert not any(name in text for name in names)
    other = {**models.manifest, "origin": {**models.manifest["origin"], "run": "another"}}
    assert not any(recognised(other, names).values()), "the digests of every set are its own"
    older = {"patients": {"training": names[:1], "validation": names[1:]}}
    assert recognised(older, names) == older["patients"]


def test_events_tell_stage_fraction_and_time_left(trained, kind):
    _, out, events = trained
    progress = [e for e in events if e["event"] == "progress"]
    fractions = [e["fraction"] for e in progress]
    assert events[0]["event"] == "started"
    assert events[-1]["event"] == "result"
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert {"data", "embedding low", "denoiser chen", "flows yang"} <= {e["stage"] for e in progress}
    assert all(e["eta_s"] is None or e["eta_s"] >= 0 for e in progress)
    assert all(json.loads(json.dumps(e)) == e for e in events)
    of_embedding = (
        {"whitened variance, layer 5 low"} if kind == "complete" else {"l1", "kl"}
    )  # that one is not trained
    assert {e["name"] for e in events if e["event"] == "metric"} >= {*of_embedding, "loss", "nll"}
    logged = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert any(e["event"] == "metric" for e in logged)


def test_what_it_costs_is_said_before_it_starts(trained):
    _, out, events = trained
    started = events[0]
    saved = sum(path.stat().st_size for path in out.rglob("*.safetensors"))
    assert 0.7 * saved < started["disk_bytes"] < 1.1 * saved, "what is not trained is not counted"
    assert started["memory_bytes"] > 4 * 64 * tiny.PATCH**2, "the flows' patches"
    assert 0 < started["seconds_on_two_cores"] < 120


def test_a_run_cancelled_again_and_again_goes_on_to_the_same_weights(trained, kind, source, tmp_path):
    _, whole, _ = trained
    out = tmp_path / "run"
    finished = []
    for stage in ("embedding low", "denoiser chen", "denoiser yang", "flows chen"):
        seen = []

        def stop(seen=seen, stage=stage):
            return any(e["event"] == "progress" and e["stage"] == stage for e in seen)

        with pytest.raises(Cancelled):
            cti.train(tiny.config(kind), source, out, on_event=seen.append, should_stop=stop)
        assert seen[-1]["event"] == "cancelled", stage
        finished.append(files(out))
        assert finished[-1] not in (files(whole), *finished[:-1]), stage
    cti.train(tiny.config(kind), source, out, on_event=lambda e: None)
    assert files(out) == files(whole)
    for name in files(whole):
        if name.endswith(".safetensors"):
            ours, theirs = load_tensors(out / name)[0], load_tensors(whole / name)[0]
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs), name


def test_a_finished_run_is_not_done_again(trained, kind, source):
    _, out, _ = trained
    before = {p: p.stat().st_mtime_ns for p in out.glob("**/*.safetensors") if "unrelated" not in p.name}
    cti.train(tiny.config(kind), source, out, on_event=lambda e: None)
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_another_configuration_or_no_leave_to_resume_is_refused(trained, kind, source):
    _, out, _ = trained
    with pytest.raises(ModelsError, match="another configuration"):
        cti.train(tiny.config(kind, seed=1), source, out, on_event=lambda e: None)
    with pytest.raises(ModelsError, match="there is a run in this folder already"):
        cti.train(tiny.config(kind), source, out, resume=False, on_event=lambda e: None)


def test_other_patients_are_refused(trained, kind, source):
    _, out, _ = trained
    fewer = [pair for pair in cti.find_pairs(source) if pair.patient_id != "P001-chest"]
    with pytest.raises(ModelsError, match="started with other patients"):
        cti.train(tiny.config(kind), fewer, out, on_event=lambda e: None)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_one_full_dose_volume_is_enough_to_train(kind, ct_small, tmp_path):
    plain = tiny.config(kind)
    plain = dataclasses.replace(
        plain, denoisers={"chen": dataclasses.replace(plain.denoisers["chen"], layers=("5",))}
    )
    with pytest.warns(UserWarning, match="one patient only"):
        models = cti.train(plain, ct_small, tmp_path / "run", on_event=lambda e: None)
    patch = cti.read_volume(ct_small).hu[0, 16:48, 16:48]
    assert models.sample(patch, "chen", "5", n=2).images.shape == (2, 32, 32)


def test_weights_of_others_are_loaded_instead_of_trained(trained, kind, source, tmp_path):
    _, out, _ = trained
    settings = {"architecture": "chen", "weights": str(out / "denoisers/chen.safetensors"), "layers": ["5"]}
    models = cti.train(
        tiny.config(kind, denoisers={"mine": settings}), source, tmp_path / "run", on_event=lambda e: None
    )
    theirs = load_tensors(out / "denoisers/chen.safetensors")[0]
    assert all(torch.equal(models.denoiser("mine").state_dict()[key], theirs[key]) for key in theirs)


REFUSED = {
    "VGG19 missing": (
        {"denoisers": {"y": {"architecture": "yang", "loss": "wgan-vgg"}}},
        WeightsError,
        "needs VGG19's published weights",
    ),
    "no such architecture": (
        {"denoisers": {"y": {"architecture": "unet"}}},
        ConfigError,
        "Choose one of chen, yang, identity",
    ),
    "wrong arguments": (
        {"denoisers": {"y": {"architecture": "chen", "arguments": {"width": 3}}}},
        ConfigError,
        "arguments do not fit",
    ),
    "no denoiser": ({"denoisers": {}}, ConfigError, "names no denoiser"),
    "patch too large": (
        {"embedding": {"kind": "vector", "patch_size": 128}},
        VolumeError,
        "64×64 pixels are smaller than a patch of 128×128",
    ),
    "odd patch": ({"embedding": {"kind": "vector", "patch_size": 40}}, ConfigError, "multiple of 16"),
    "patch that no cells fill": (
        {"embedding": {"kind": "spatial", "patch_size": 42}},
        ConfigError,
        "Take a multiple of 4, 16 or more",
    ),
    "patch that the flow's scales do not divide": (
        {"embedding": {"kind": "spatial", "patch_size": 40}},
        ConfigError,
        "a flow of 2 levels. Take a multiple of 16 pixels, or fewer levels",
    ),
    "patch that no whole cells fill": (
        {"embedding": {"kind": "complete", "patch_size": 42}},
        ConfigError,
        "a patch of 42 pixels does not fit. Take a multiple of 4, 16 or more",
    ),
    "unknown patient": ({"data": {"validation_patients": ["Q"]}}, DataError, "no patient Q to keep apart"),
    "no such layer": (
        {"denoisers": {"c": {"architecture": "chen", "layers": ["2"]}}},
        LayerError,
        "no layer of this name: '2'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_before_anything_is_written(case, source, tmp_path):
    changes, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        cti.train(tiny.config(**changes), source, tmp_path / "run", on_event=lambda e: None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        (40, ConfigError, "a flow of 2 levels. Take a multiple of 16 pixels, or fewer levels"),
        (128, VolumeError, "64×64 pixels are smaller than a patch of 128×128"),
    ],
)
def test_flows_patches_that_cannot_work_are_refused_before_anything_is_written(
    size, error, message, source, tmp_path
):
    plain = tiny.config(
        "complete", denoisers={"i": {"architecture": "identity", "layers": ["1"], "loss": "none"}}
    )
    changed = dataclasses.replace(plain, flow=dataclasses.replace(plain.flow, patch_size=size))
    with pytest.raises(error, match=message):
        cti.train(changed, source, tmp_path / "run", on_event=lambda e: None)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_size_is_refused(tmp_path):
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters())
    path = tmp_path / "stage.safetensors"
    save_tensors(path, {"module.m.weight": torch.zeros(5, 5), "module.m.bias": torch.zeros(2)}, {"step": 3})
    with pytest.raises(WeightsError, match=r"weight has shape \(5, 5\) instead of \(2, 3\)"):
        checkpoint.Checkpoint(path, {"m": (module, optimizer)}).restore()
