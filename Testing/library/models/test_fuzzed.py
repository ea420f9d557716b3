"""300 mutated manifests, 300 mutated configurations: used or refused in words, in bounds, nothing else touched."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import tiny

import CTInvarianceLib as cti
from CTInvarianceLib.base import Cancelled, CTInvarianceError
from CTInvarianceLib.config import (
    config_from_dict,
    configuration,
    delete_models,
    layers_with_flows,
    list_models,
    preset,
    read_config,
    read_manifest,
    summary,
    trained_patch_size,
)
from CTInvarianceLib.models import Models, describe

COUNT = 300
EVIL: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 3, 10**9, 10**13, 10**400, -(2**63), 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "x/../../evil", "../evil/chen", "/etc/passwd", "..", "CON", "a\0b", "\ud800", "\x1b[31m", "[/b]", "<b>",
    "download", "x" * 10**5, "cuda", [], {}, [[]], ["../evil/chen"] * 3, list(range(1000)), {"../evil/chen": {}},
    {"architecture": "chen", "layers": ["x/../../evil"]}, [1, 2], [2.0, 0.5], ["5", "5"],
)  # fmt: skip
WORDS = (
    "levels",
    "hidden",
    "../evil/chen",
    "architecture",
    "",
    "weights",
    "steps",
    "files",
    "origin",
    "vgg19",
)
MOST_BYTES, MOST_S = 2e9, 60


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every table or list in a value, with every key or index of it."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [(value, key) for key in keys] + [found for key in keys for found in places(value[key])]


def mutated(value: Any, chance: random.Random) -> Any:
    """One to three changes: a value of ours or another place's, an entry less, an entry more, another name."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        at, key = chance.choice(places(value))
        kind = chance.choice(("evil", "evil", "evil", "near", "near", "gone", "more", "name", "swap"))
        if kind == "evil":
            at[key] = chance.choice(EVIL)
        elif kind == "near" and type(at[key]) in (int, float):
            at[key] = at[key] * chance.choice((-1, 2, 10, 1000, 0.1))
            at[key] = int(at[key]) if chance.random() < 0.7 else at[key]
        elif kind == "gone":
            del at[key]
        elif kind == "swap":
            other, there = chance.choice(places(value))
            at[key] = copy.deepcopy(other[there])
        elif isinstance(at, dict):
            at[chance.choice(WORDS)] = at.pop(key) if kind == "name" else chance.choice(EVIL)
    return value


def text_of(value: Any, chance: random.Random) -> bytes:
    """JSON, one time in ten cut or with another byte in it."""
    text = bytearray(json.dumps(value).encode())
    if chance.random() < 0.05:
        del text[chance.randrange(len(text)) :]
    elif chance.random() < 0.05:
        text[chance.randrange(len(text))] = chance.randrange(256)
    return bytes(text)


@contextlib.contextmanager
def bounded():
    """At most 2 GB more and 60 s."""
    before, start = tiny.peak_memory(), time.monotonic()
    yield
    assert time.monotonic() - start < MOST_S
    assert tiny.peak_memory() - before < MOST_BYTES


@pytest.fixture
def place(tmp_path):
    """A folder with decoys, that may not change, around the folder where sets are made."""
    (tmp_path / "evil").mkdir()
    for name in ("chen.safetensors", "chen-1-low.safetensors", "models.json"):
        (tmp_path / "evil" / name).write_bytes(b"theirs")
    (tmp_path / "evil.safetensors").write_bytes(b"theirs")
    (tmp_path / "sets").mkdir()
    return tmp_path


def outside(place: Path) -> dict[str, Any]:
    return {name: content for name, content in tiny.tree(place).items() if not name.startswith("sets/m/")}


def use(folder: Path, source: Path) -> bool:
    """Everything that reads a set, and at last its deletion; whether all of it was accepted."""
    uses = (
        summary, layers_with_flows, trained_patch_size, lambda path: list_models(path.parent), load,
        lambda path: resume(path, source), delete_models,
    )  # fmt: skip
    accepted = True
    for each in uses:
        try:
            each(folder)
        except CTInvarianceError:  # anything else is a fault of the program, and of this test
            accepted = False
    return accepted


def load(folder: Path) -> None:
    models = Models.load(folder, device="cpu")
    describe(models)
    for name in models.denoisers:
        models.denoiser(name)
        for layer in models.layers(name):
            models.flow(name, layer, "low")
    models.embedding("full")
    models.unrelated("low")


def resume(folder: Path, source: Path) -> None:
    """As `train --resume` without a configuration: with that of the set, as far as the end of the checks."""
    config = configuration(read_manifest(folder), folder)
    with contextlib.suppress(Cancelled):
        cti.train(config, source, folder, on_event=len, should_stop=lambda: True)


@pytest.mark.filterwarnings("ignore::CTInvarianceLib.base.ModelsWarning")
def test_mutated_manifests(place, tiny_complete_models, tiny_source, monkeypatch):
    monkeypatch.chdir(place)
    manifest = json.loads((tiny_complete_models / "models.json").read_text("utf-8"))
    chance, accepted, folder = random.Random(13), 0, place / "sets" / "m"
    before = outside(place)
    for number in range(COUNT):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tiny_complete_models, folder)
        (folder / "models.json").write_bytes(text_of(mutated(manifest, chance), chance))
        with bounded():
            accepted += use(folder, tiny_source)
        shutil.rmtree(folder, ignore_errors=True)
        assert outside(place) == before, number
    # Else the mutations are too harsh, or too mild, to tell anything.
    assert 0.05 * COUNT < accepted < 0.7 * COUNT


@pytest.mark.parametrize("kind", ["presets", "tiny"])
def test_mutated_configurations(kind, place, tiny_source, monkeypatch):
    monkeypatch.chdir(place)
    chance, accepted = random.Random(29), 0
    plain = [tiny.config(each) for each in tiny.KINDS] if kind == "tiny" else [preset("quick")]
    whole = [each.to_dict() for each in plain]
    before = tiny.tree(place)
    path = place / "sets" / "c.json"
    for number in range(COUNT // 2):
        path.write_bytes(text_of(mutated(chance.choice(whole), chance), chance))
        with bounded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                config = read_config(path)
                assert config_from_dict(config.to_dict()) == config
                cti.train(config, tiny_source, place / "sets" / "o", on_event=len, should_stop=lambda: True)
            except Cancelled:  # all that is checked before the work was accepted
                accepted += 1
            except CTInvarianceError:
                pass
        path.unlink()
        assert tiny.tree(place) == before, number
    assert 0.05 * COUNT / 2 < accepted < 0.7 * COUNT / 2
