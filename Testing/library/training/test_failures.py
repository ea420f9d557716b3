"""What goes wrong is named, and nothing that is saved is lost."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

import CTInvarianceLib as cti
from CTInvarianceLib.base import Cancelled, PairingWarning, VolumeError, WeightsError
from CTInvarianceLib.models import load_tensors, save_tensors

pytestmark = pytest.mark.usefixtures("one_thread")


def begin(source, out, heard, stage="denoiser yang"):
    """Train until a stage has begun."""

    def stop():
        return sum(event.get("stage") == stage for event in heard) > 1

    with pytest.raises(Cancelled):
        cti.train(tiny.config("complete"), source, out, on_event=heard.append, should_stop=stop)


def test_a_series_whose_values_are_not_finite_is_left_out_by_name(tmp_path):
    import nrrd

    rng, source, heard = np.random.default_rng(0), tmp_path / "source", []
    source.mkdir()
    for name in ("ann", "bob", "cyd"):
        for dose, noise in (("full", 10), ("low", 20)):
            hu = rng.normal(40, noise, (64, 64, 2)).astype(np.float32)
            if (name, dose) == ("bob", "low"):
                hu[3, 4, 1] = np.nan
            nrrd.write(
                str(source / f"{name}_{dose}.nrrd"),
                hu,
                {
                    "space": "left-posterior-superior",
                    "space directions": np.diag([1.0, 1, 3]),
                    "space origin": [0, 0, 0],
                },
            )
    with pytest.warns(
        PairingWarning, match=r"bob_low\.nrrd: 1 values are NaN or infinite, the first in slice 1"
    ):
        begin(source, tmp_path / "run", heard)
    assert (tmp_path / "run/denoisers/chen.safetensors").is_file(), "the others are trained on"


def test_a_checkpoint_of_another_version_is_named_and_everything_stays(tiny_source, tmp_path):
    out, heard = tmp_path / "run", []
    begin(tiny_source, out, heard)
    path = out / "checkpoints/denoiser-yang.safetensors"
    tensors, said = load_tensors(path)
    save_tensors(path, {name.replace("module.", "network."): value for name, value in tensors.items()}, said)
    before = tiny.tree(out)
    with pytest.raises(WeightsError) as caught:
        cti.train(tiny.config("complete"), tiny_source, out, on_event=lambda event: None)
    assert str(path) in str(caught.value)
    after = tiny.tree(out)
    assert {k: v for k, v in after.items() if k.endswith((".safetensors", ".json"))} == {
        k: v for k, v in before.items() if k.endswith((".safetensors", ".json"))
    }
    path.unlink()  # what the error says to do about it
    begin(tiny_source, out, [], "denoiser yang")
    assert path.is_file()


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_read(tiny_source, tmp_path):
    (tmp_path / "file").write_text("mine")
    heard = []
    with pytest.raises(VolumeError, match=r"cannot be written, as that is a file: .*file\. Choose another"):
        cti.train(tiny.config("complete"), tiny_source, tmp_path / "file/run", on_event=heard.append)
    assert not [event for event in heard if event["event"] == "progress"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fills_up_ends_the_run_and_what_is_saved_is_whole(tiny_source, tmp_path, monkeypatch):
    out, heard = tmp_path / "run", []
    begin(tiny_source, out, heard)
    before = {p: p.read_bytes() for p in out.rglob("*.safetensors")}
    from CTInvarianceLib.training import checkpoint, run

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_tensors", full)
        patch.setattr(run, "save_tensors", full)
        with pytest.raises(OSError, match="No space left"):
            cti.train(tiny.config("complete"), tiny_source, out, on_event=lambda event: None)
    assert {p: p.read_bytes() for p in out.rglob("*.safetensors")} == before
    models = cti.train(tiny.config("complete"), tiny_source, out, on_event=lambda event: None)
    assert models.layers("yang") == ["8"]
