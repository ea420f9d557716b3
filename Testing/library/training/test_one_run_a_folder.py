"""A folder holds the parts of one run: of one configuration, seed and data, and written by one training at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from held_lock import lock_held

import CTInvarianceLib as cti
from CTInvarianceLib.base import Cancelled, ModelsError, ModelsWarning, WeightsError
from CTInvarianceLib.config import read_manifest
from CTInvarianceLib.models import load_tensors, save_tensors

KIND = "complete"


def train(source, out, *, seed=0, on_event=lambda event: None, **options):
    return cti.train(tiny.config(KIND, seed=seed), source, out, on_event=on_event, **options)


def until(stage):
    """Options that end a training at the second event of a stage."""
    seen = []
    return {
        "on_event": lambda event: seen.append(event.get("stage")),
        "should_stop": lambda: seen.count(stage) > 1,
    }


def weights(folder):
    return {
        str(path.relative_to(folder)): load_tensors(path)[0] for path in sorted(folder.rglob("*.safetensors"))
    }


def same(one, other):
    assert one.keys() == other.keys()
    for file, tensors in one.items():
        assert all(torch.equal(value, other[file][name]) for name, value in tensors.items()), file


@pytest.fixture
def interrupted(tiny_source, tmp_path, once):
    """A run with a finished denoiser and a checkpoint of the next."""

    def begin(folder):
        with pytest.raises(Cancelled):
            train(tiny_source, folder / "run", **until("denoiser yang"))

    out = tmp_path / "run"
    shutil.copytree(once("interrupted run", begin) / "run", out)
    assert (out / "denoisers/chen.safetensors").is_file()
    assert (out / "checkpoints/denoiser-yang.safetensors").is_file()
    return out


def test_two_trainings_at_once_the_second_is_told(tiny_source, tmp_path):
    out, second = tmp_path / "run", []

    def start_another(event):
        if event.get("stage") == "denoiser chen" and not second:
            for seed in (0, 1):
                with pytest.raises(ModelsError, match="another training is writing into this folder"):
                    train(tiny_source, out, seed=seed)
                second.append(seed)

    train(tiny_source, out, on_event=start_another)
    assert second == [0, 1]
    train(tiny_source, out)  # the lock is given back


def test_two_that_begin_at_once_the_later_is_told(tiny_source, tmp_path):
    out, first = tmp_path / "run", []

    def be_first(event):
        if event.get("stage") == "data" and not first:
            first.append(weights(train(tiny_source, out).folder))

    with pytest.raises(ModelsError, match="another training has begun in this folder"):
        train(tiny_source, out, seed=1, on_event=be_first)
    same(weights(out), first[0])


def test_the_lock_of_a_killed_training_is_free(tiny_source, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    with lock_held(out), pytest.raises(ModelsError, match="another training is writing"):
        train(tiny_source, out)
    with pytest.raises(Cancelled):
        train(tiny_source, out, **until("denoiser chen"))


@pytest.mark.parametrize("seed", [0, 1])
def test_parts_without_a_manifest_are_not_adopted(seed, tiny_source, interrupted):
    (interrupted / "models.json").unlink()
    before = tiny.tree(interrupted)
    with pytest.raises(ModelsError, match="not from the run in this folder"):
        train(tiny_source, interrupted, seed=seed)
    assert tiny.tree(interrupted) == before


@pytest.mark.parametrize("file", ["denoisers/chen.safetensors", "checkpoints/denoiser-yang.safetensors"])
def test_a_part_or_checkpoint_of_another_run_is_not_loaded(file, tiny_source, interrupted, tmp_path):
    other = tmp_path / "other"
    with pytest.raises(Cancelled):
        train(tiny_source, other, seed=1, **until("denoiser yang"))
    shutil.copy(other / file, interrupted / file)
    with pytest.raises(ModelsError, match="names another configuration, seed or data"):
        train(tiny_source, interrupted)
    save_tensors(interrupted / file, load_tensors(other / file)[0], {"step": 1})
    with pytest.raises(ModelsError, match="or none"):
        train(tiny_source, interrupted)


def test_a_part_of_this_run_under_another_name_is_not_loaded(tiny_source, interrupted):
    shutil.copy(interrupted / "embeddings/full.safetensors", interrupted / "embeddings/low.safetensors")
    with pytest.raises(ModelsError, match="not from the run in this folder"):
        train(tiny_source, interrupted)


def test_a_damaged_checkpoint_is_refused(tiny_source, interrupted):
    path = interrupted / "checkpoints/denoiser-yang.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 4
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="the file is damaged"):
        train(tiny_source, interrupted)


def test_other_data_of_the_same_patients_are_refused(tiny_source, interrupted):
    pairs = cti.find_pairs(tiny_source)
    swapped = [type(pair)(None, pair.full_dose, pair.patient_id) for pair in pairs]
    with pytest.raises(ModelsError, match="started with other data"):
        train(swapped, interrupted)


def test_data_that_have_moved_are_the_same(tiny_source, interrupted, tmp_path, tiny_complete_models):
    """As always: that other data are refused asks for no path."""
    shutil.copytree(tiny_source, tmp_path / "moved")
    train(tmp_path / "moved", interrupted)
    same(weights(interrupted), weights(tiny_complete_models))


def test_a_part_whose_checksum_was_not_noted_any_more_is_kept(tiny_source, interrupted, tiny_complete_models):
    path = interrupted / "models.json"
    content = json.loads(path.read_text())
    del content["files"]["denoisers/chen.safetensors"]  # as a kill between the two leaves it
    path.write_text(json.dumps(content))
    stamp = (interrupted / "denoisers/chen.safetensors").stat().st_mtime_ns
    train(tiny_source, interrupted)
    assert (interrupted / "denoisers/chen.safetensors").stat().st_mtime_ns == stamp
    same(weights(interrupted), weights(tiny_complete_models))
    cti.Models.load(interrupted).denoiser("chen")


def test_what_a_killed_training_has_left_is_swept(tiny_source, interrupted, tiny_complete_models):
    """What was being written, a moment ago; and the checkpoint of a part that was finished."""
    name = f".ctinvariance-{'0' * 32}"
    checkpoint = interrupted / "checkpoints/denoiser-yang.safetensors"
    for folder in (interrupted, interrupted / "checkpoints", interrupted / "denoisers"):
        (folder / f"{name}.safetensors").write_bytes(checkpoint.read_bytes()[:100])
    (interrupted / "checkpoints" / f".ctinvariance-{'1' * 32}.safetensors").write_bytes(
        checkpoint.read_bytes()
    )
    tensors, facts = load_tensors(checkpoint)
    late = {**facts, "part": "checkpoints/denoiser-chen.safetensors"}
    save_tensors(interrupted / "checkpoints/denoiser-chen.safetensors", tensors, late)
    train(tiny_source, interrupted)
    same(weights(interrupted), weights(tiny_complete_models))
    assert [each.name for each in interrupted.rglob(".*")] == [".lock"]


def test_a_run_of_an_older_version_goes_on_to_the_same_weights(
    tiny_source, interrupted, tiny_complete_models
):
    tiny.as_older(interrupted, tiny_source)
    with pytest.warns(ModelsWarning, match="begun by an older version"):
        train(tiny_source, interrupted)
    same(weights(interrupted), weights(tiny_complete_models))
    assert set(read_manifest(interrupted)["files"]) == set(weights(interrupted))
    cti.Models.load(interrupted)  # with no word: warnings are errors here


@pytest.mark.parametrize("name", ["flows", "checkpoints", "denoisers/yang.safetensors", "log.jsonl", ".lock"])
def test_a_link_in_the_folder_is_not_written_through(name, tiny_source, interrupted, tmp_path):
    outside = tmp_path / "outside"
    shutil.rmtree(interrupted / name, ignore_errors=True)
    (interrupted / name).unlink(missing_ok=True)
    if Path(name).suffix or name == ".lock":
        outside.write_bytes(b"theirs")
    else:
        outside.mkdir()
    (interrupted / name).symlink_to(outside)
    with pytest.raises(ModelsError, match="is a link"):
        train(tiny_source, interrupted)
    assert outside.read_bytes() == b"theirs" if outside.is_file() else not list(outside.iterdir())


def test_a_line_that_a_full_disk_has_cut_is_taken_out_of_the_log(tmp_path):
    from CTInvarianceLib.base import Reporter
    from CTInvarianceLib.training.experiment import _log_to_file

    path = tmp_path / "log.jsonl"
    for before, kept in (('{"a": 1}\n{"b', 1), ('{"a', 0), ('{"a": 1}\n', 1), ("", 0)):
        path.write_text(before)
        report = Reporter(lambda event: None, {"a": 1.0})
        _log_to_file(report, tmp_path)
        report.metric("a", 1, loss=0.5)
        assert len([json.loads(line) for line in path.read_text().splitlines()]) == kept + 1


def test_the_log_is_json_that_every_reader_takes(tmp_path):
    from CTInvarianceLib.base import Reporter
    from CTInvarianceLib.training.experiment import _log_to_file

    report = Reporter(lambda event: None, {"a": 1.0})
    _log_to_file(report, tmp_path)
    report.metric("a", 1, loss=float("nan"), nll=float("-inf"))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["value"] for line in lines] == [None, None]
    assert "NaN" not in (tmp_path / "log.jsonl").read_text()
