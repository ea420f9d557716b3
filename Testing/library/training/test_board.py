"""Event files of a run, read back with TensorBoard's own reader."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch

import CTInvarianceLib as cti
from CTInvarianceLib.base import ModelsError
from CTInvarianceLib.config import delete_models
from CTInvarianceLib.tensors import STD, normalize
from CTInvarianceLib.training import board

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="TensorBoard is not installed"
)
STEPS = 45


def config():
    """Chen alone, long enough for three metrics."""
    plain = tiny.config("complete")
    chen = dataclasses.replace(plain.denoisers["chen"], steps=STEPS, layers=("5",))
    return dataclasses.replace(plain, denoisers={"chen": chen})


@pytest.fixture(scope="module")
def trained(tiny_source, tmp_path_factory):
    heard, out = [], tmp_path_factory.mktemp("board") / "run"
    models = cti.train(config(), tiny_source, out, on_event=heard.append)
    return models, out, heard


@pytest.fixture(scope="module")
def events(trained):
    return read(trained[1])


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    found.Reload()
    return found


def picture(events, tag, number=-1):
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(events.Images(tag)[number].encoded_image_string)))


@needs_tensorboard
def test_every_metric_is_there_with_its_step(trained, events):
    wanted = [
        (f"{e['stage']}/{e['name']}", e["step"], e["value"]) for e in trained[2] if e["event"] == "metric"
    ]
    assert {step for tag, step, _ in wanted if tag == "denoiser chen/loss"} >= {0, 20, 40}
    found = {(tag, each.step): each.value for tag in events.Tags()["scalars"] for each in events.Scalars(tag)}
    assert found.keys() == {(tag, step) for tag, step, _ in wanted}
    for tag, step, value in wanted:
        assert found[tag, step] == pytest.approx(value, rel=1e-5)


@needs_tensorboard
def test_examples_come_every_so_often_and_a_sheet_at_the_end(trained, events):
    size = config().denoisers["chen"].patch_size
    examples = events.Images("denoiser chen/input, denoised")
    assert [each.step for each in examples] == list(range(0, STEPS, 2))
    first, last = (
        picture(events, "denoiser chen/input, denoised", 0),
        picture(events, "denoiser chen/input, denoised"),
    )
    assert first.shape[:2] == (4 * size, 2 * size)
    assert (first[:, :size] == last[:, :size]).all(), "the same patches throughout"
    assert (first[:, size:] != last[:, size:]).any(), "and another denoiser"
    sheet = picture(events, "denoiser chen/input, denoised, full dose, removed, error")
    np.testing.assert_array_equal(sheet[:, : 2 * size], last)


@needs_tensorboard
def test_the_pictures_are_of_what_they_say(tmp_path):
    hu = torch.tensor([-700.0, -100.0, 40.0, 300.0])[:, None, None, None].expand(4, 1, 33, 33)
    run = SimpleNamespace(
        folder=tmp_path,
        config=config(),
        fabric=SimpleNamespace(to_device=lambda each: each),
        validation=SimpleNamespace(draw=lambda count, size, seed: (normalize(hu), normalize(hu + 60))),
    )
    shown = board.Board(run)
    shown.finish("denoiser chen", lambda x: x + 100 / STD)
    shown.close()
    sheet = picture(read(tmp_path), "denoiser chen/input, denoised, full dose, removed, error")[..., 0]
    low, denoised, full, removed, error = np.split(sheet.astype(float), 5, axis=1)
    grey = np.repeat(hu[:, 0, 0, 0].numpy(), 33)[:, None]
    for column, wanted in ((low, grey), (denoised, grey + 100), (full, grey + 60)):
        np.testing.assert_allclose(
            (column / 255 - 0.5) * 1500 - 250, np.broadcast_to(wanted, (132, 33)), atol=6
        )
    for column, wanted in ((removed, -100), (error, -40)):
        np.testing.assert_allclose((column / 255 - 0.5) * 400, wanted, atol=2)


@needs_tensorboard
def test_deleting_the_model_set_deletes_its_pictures(tiny_source, tmp_path):
    cti.train(config(), tiny_source, tmp_path / "run", on_event=lambda event: None)
    assert list((tmp_path / "run/tensorboard").iterdir())
    delete_models(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@needs_tensorboard
def test_a_link_is_not_followed(tiny_source, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run/tensorboard").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelsError, match="is a link"):
        cti.train(config(), tiny_source, tmp_path / "run", on_event=lambda event: None)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_without_tensorboard_nothing_is_written_and_that_is_said_once(tiny_source, tmp_path, monkeypatch):
    plain = importlib.util.find_spec
    monkeypatch.setattr(board, "find_spec", lambda name: None if name == "tensorboard" else plain(name))
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    heard = []
    cti.train(config(), tiny_source, tmp_path / "run", on_event=heard.append)
    said = [e["message"] for e in heard if e["event"] == "log" and "TensorBoard" in e["message"]]
    assert said == ["no event files are written: TensorBoard is not installed (pip install tensorboard)"]
    assert not (tmp_path / "run/tensorboard").exists()
