"""Model sets that are damaged, exchanged, false or from elsewhere: nothing of them passes as what was trained."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from CTInvarianceLib.base import ConfigError, ModelsError, ModelsWarning, WeightsError
from CTInvarianceLib.config import delete_models, list_models, read_manifest, summary, update_manifest
from CTInvarianceLib.models import Models, describe, load_module, load_tensors, save_tensors

PATCH = np.random.default_rng(0).normal(0, 20, (tiny.PATCH, tiny.PATCH)).astype(np.float32)


@pytest.fixture
def folder(tiny_complete_models, tmp_path):
    """A copy that a test may change; decoys beside it."""
    shutil.copytree(tiny_complete_models, tmp_path / "all" / "set")
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "chen.safetensors").write_bytes(b"theirs")
    return tmp_path / "all" / "set"


def edit(folder, change):
    path = folder / "models.json"
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def load_everything(folder):
    models = Models.load(folder, device="cpu")
    for name in models.denoisers:
        models.denoiser(name)
        for layer in models.layers(name):
            for domain in ("low", "full"):
                models.flow(name, layer, domain)
    for domain in ("low", "full"):
        models.embedding(domain)
        models.unrelated(domain)
    return models


def replaced(folder, file, **tensors):
    """A part with other values and the checksum that belongs to them: what somebody else's program may write."""
    content, facts = load_tensors(folder / file)
    save_tensors(folder / file, {**content, **tensors}, facts)
    if "files" in read_manifest(folder):
        from CTInvarianceLib.config import record_file

        record_file(folder, file)


def test_every_part_has_a_checksum_and_names_what_it_was_made_from(folder):
    manifest = read_manifest(folder)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*.safetensors")}
    assert set(manifest["files"]) == there
    for file in there:
        said = load_tensors(folder / file)[1]
        assert (said["origin"], said["part"]) == (manifest["origin"], file)
    assert manifest["origin"]["seed"] == manifest["config"]["seed"]
    load_everything(folder)


def test_a_flipped_bit_anywhere_is_noticed(folder):
    chance = np.random.default_rng(1)
    files = sorted(folder.rglob("*.safetensors"))
    for _ in range(60):
        path = files[chance.integers(len(files))]
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[chance.integers(len(whole))] ^= 1 << chance.integers(8)
        path.write_bytes(flipped)
        with pytest.raises(ModelsError, match="damaged or was exchanged"):
            load_everything(folder)
        path.write_bytes(whole)
    load_everything(folder)


def test_a_checkpoint_knows_its_own_bits(tmp_path):
    path = tmp_path / "stage.safetensors"
    save_tensors(path, {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(True)}, {"step": 3})
    assert load_tensors(path)[1]["step"] == 3
    flipped = bytearray(path.read_bytes())
    flipped[-2] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(WeightsError, match="the file is damaged"):
        load_tensors(path)


def test_parts_that_changed_places_are_noticed(folder):
    low, full = (folder / f"embeddings/{domain}.safetensors" for domain in ("low", "full"))
    content = low.read_bytes()
    low.write_bytes(full.read_bytes())
    full.write_bytes(content)
    with pytest.raises(ModelsError, match="exchanged"):
        load_everything(folder)


def test_a_part_that_the_manifest_does_not_know_is_not_loaded(folder):
    edit(folder, lambda content: content["files"].pop("denoisers/chen.safetensors"))
    with pytest.raises(ModelsError, match="the manifest does not know this part"):
        Models.load(folder).denoiser("chen")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.to(torch.int32), r"layers.0.weight is of type I32 instead of F32"),
        (lambda w: w > 0, "is of type BOOL instead of F32"),
        (lambda w: w.to(torch.complex64), "is of type C64 instead of F32"),
        (lambda w: w.to(torch.uint8), "is of type U8 instead of F32"),
        (lambda w: w.double() * 1e300, "holds values that are not finite"),
        (lambda w: w / 0, "holds values that are not finite"),
        (lambda w: w[:1], r"has shape \(1, 1, 9, 9\) instead of \(64, 1, 9, 9\)"),
    ],
)
def test_weights_of_another_kind_are_refused(change, message, folder):
    file = "denoisers/chen.safetensors"
    weight = load_file(folder / file)["layers.0.weight"]
    replaced(folder, file, **{"layers.0.weight": change(weight)})
    with pytest.raises(WeightsError, match=message):
        load_everything(folder)


def test_weights_of_others_may_have_another_precision(tmp_path):
    """As always: of what is checked now, types of whole numbers are refused and no more."""
    module = torch.nn.Linear(3, 2)
    for dtype in (torch.float64, torch.bfloat16):
        given = {name: value.to(dtype) for name, value in module.state_dict().items()}
        save_file(given, tmp_path / "theirs.safetensors")
        loaded = torch.nn.Linear(3, 2)
        load_module(loaded, tmp_path / "theirs.safetensors")
        assert all(torch.equal(value, given[name].float()) for name, value in loaded.state_dict().items())


def test_an_order_is_a_permutation(folder):
    file = "flows/chen-1-low.safetensors"
    tensors = load_file(folder / file)
    (name,) = [name for name in tensors if name.endswith("flow.mixing.order")]
    for false in (torch.zeros_like(tensors[name]), tensors[name] + 1):
        replaced(folder, file, **{name: false})
        with pytest.raises(WeightsError, match="is no order of 16 channels"):
            load_everything(folder)


def huge(path):
    """A file that says it has 4 GB, and has, but on no disk."""
    header = json.dumps({"low": {"dtype": "I16", "shape": [2**31], "data_offsets": [0, 2**32]}}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2**32)


@pytest.mark.parametrize(
    ("patches", "message"),
    [
        (lambda p: p[..., :16, :16], r"I16 of shape \(24, 1, 16, 16\)"),
        (lambda p: p.float() * float("nan"), r"F32 of shape"),
        (lambda p: p[:0], r"of shape \(0, 1, 32, 32\)"),
        (lambda p: p[0], r"of shape \(1, 32, 32\)"),
        (lambda p: p.repeat(50, 1, 1, 1), "m up to 1024"),
    ],
)
def test_patches_for_the_ceiling_of_another_kind_are_refused(patches, message, folder):
    replaced(folder, "unrelated.safetensors", low=patches(load_file(folder / "unrelated.safetensors")["low"]))
    with pytest.raises(WeightsError, match=message):
        load_everything(folder)


def test_a_file_larger_than_the_memory_is_refused_by_its_header(folder, tiny_source):
    for file in ("unrelated.safetensors", "denoisers/chen.safetensors"):
        tiny.as_older(folder, tiny_source)
        huge(folder / file)
        with pytest.warns(ModelsWarning), pytest.raises(WeightsError, match=r"of shape|is missing"):
            load_everything(folder)
        (folder / file).unlink()
        shutil.copy(folder / "denoisers/yang.safetensors", folder / file)


def test_steps_of_minus_one_and_numbers_that_are_none_are_refused(folder):
    edit(folder, lambda content: content["config"]["flow"].update(steps=-1))
    with pytest.raises(ConfigError, match="-1 is not possible"):
        Models.load(folder)
    edit(folder, lambda content: content["config"]["flow"].update(tolerances=[float("nan"), 2.0]))
    with pytest.raises(ModelsError, match="the manifest of the model set is damaged"):
        Models.load(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", []), ("config", {"name": 3}), ("patients", {"training": "P1"}), ("patients", ["P1"]),
        ("created", {}), ("files", {"a": 3}), ("files", []), ("origin", {}), ("origin", "run"), ("created", "\ud800"),
    ],
)  # fmt: skip
def test_manifests_of_another_form_are_named_as_damaged_and_break_no_list(key, value, folder):
    shutil.copytree(folder, folder.parent / "good")
    edit(folder, lambda content: content.update({key: value}))
    with pytest.raises(ModelsError, match="damaged"):
        summary(folder)
    assert "good" in [row["name"] for row in list_models(folder.parent)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_links_and_pipes_are_not_opened(folder):
    outside = folder.parents[1] / "outside.safetensors"
    shutil.move(folder / "denoisers/chen.safetensors", outside)
    (folder / "denoisers/chen.safetensors").symlink_to(outside)
    with pytest.raises(ModelsError, match="is a link"):
        load_everything(folder)
    (folder / "models.json").unlink()
    os.mkfifo(folder / "models.json")
    with pytest.raises(ModelsError, match="no plain file"):
        Models.load(folder)


@pytest.mark.parametrize("name", ["x/../../../evil/chen", "../evil/chen", "/tmp/x"])
@pytest.mark.parametrize("as_layer", [False, True])
def test_a_name_that_is_a_path_reads_and_deletes_nothing(name, as_layer, folder):
    def change(content):
        denoisers = content["config"]["denoisers"]
        if as_layer:
            denoisers["chen"]["layers"] = [name]
        else:
            denoisers[name] = denoisers.pop("chen")

    edit(folder, change)
    before = tiny.tree(folder.parents[1])
    for use in (load_everything, summary, delete_models):
        with pytest.raises(ModelsError, match="damaged"):
            use(folder)
    assert tiny.tree(folder.parents[1]) == before


def test_deleting_takes_what_is_of_the_set_and_nothing_else(folder):
    outside = folder.parents[1] / "evil"
    (folder / "denoisers/notes.txt").write_text("mine")
    (folder / "flows/mine-1-low.safetensors").write_bytes(b"mine")
    shutil.rmtree(folder / "embeddings")
    (folder / "embeddings").symlink_to(outside)
    (outside / "low.safetensors").write_bytes(b"theirs")
    theirs = tiny.tree(outside)
    delete_models(folder)
    assert tiny.tree(outside) == theirs
    left = {name for name, content in tiny.tree(folder).items() if content is not None}
    assert left == {"denoisers/notes.txt", "flows/mine-1-low.safetensors", "embeddings"}


def test_sets_without_checksums_are_used_with_a_word(folder, tiny_source):
    sample = load_everything(folder).sample(PATCH, "chen", "5", n=1)
    tiny.as_older(folder, tiny_source)
    with pytest.warns(ModelsWarning, match="no checksums"):
        models = load_everything(folder)
    again = models.sample(PATCH, "chen", "5", n=1)
    np.testing.assert_array_equal(sample.images, again.images)
    assert describe(models)["denoisers"]["chen"]["trained"]


def test_what_is_written_of_a_set_is_json_that_every_reader_takes(folder):
    update_manifest(folder, note=float("nan"))

    def no_constant(name):
        raise AssertionError(name)

    assert json.loads((folder / "models.json").read_text(), parse_constant=no_constant)["note"] is None
