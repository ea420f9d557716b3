"""Several processes train one model set: together what one alone would, and none waits for one that is gone."""

from __future__ import annotations

import dataclasses
import json
import signal
import time

import pytest
import ranks
import tiny
import torch
from held_lock import lock_held

from CTInvarianceLib.config import Config
from CTInvarianceLib.models import load_tensors

pytestmark = pytest.mark.slow

GONE_IN_S = 60  # after a kill; 5 to 10 without other work on the machine


def command(config: Config, source, out, *more):
    settings = out.parent / "settings.json"
    settings.write_text(json.dumps(config.to_dict()))
    return [
        "-m", "CTInvarianceLib", "train", "--config", str(settings), "--data", str(source), "--out", str(out), *more
    ]  # fmt: skip


def endless(kind):
    """A run whose second denoiser would take hours."""
    config = tiny.config(kind)
    yang = dataclasses.replace(config.denoisers["yang"], steps=10**6)
    return dataclasses.replace(config, denoisers={"chen": config.denoisers["chen"], "yang": yang})


def wait_for(path, started, seconds=120):
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, path
        assert all(each.poll() is None for each in started), [each.communicate() for each in started]
        time.sleep(0.05)


def test_two_train_what_one_would_as_slurm_starts_them(tiny_source, tiny_spatial_models, tmp_path):
    started = ranks.start(command(tiny.config("spatial"), tiny_source, tmp_path / "run"), slurm=True)
    for code, _, told in ranks.finish(started):
        assert code == 0, told
    files = {p.relative_to(tmp_path / "run") for p in (tmp_path / "run").rglob("*.safetensors")}
    assert files == {p.relative_to(tiny_spatial_models) for p in tiny_spatial_models.rglob("*.safetensors")}
    # Of what is trained with noise, every process draws its own; Chen's denoiser sees nothing but the batch.
    ours, alone = (
        load_tensors(each / "denoisers/chen.safetensors")[0]
        for each in (tmp_path / "run", tiny_spatial_models)
    )
    for name, value in ours.items():
        torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("victim", [0, 1])
def test_when_one_is_killed_the_other_ends_and_says_so_and_what_is_saved_stays(victim, tiny_source, tmp_path):
    out = tmp_path / "run"
    started = ranks.start(command(endless("complete"), tiny_source, out))
    chen = out / "denoisers" / "chen.safetensors"
    wait_for(chen, started)
    started[victim].send_signal(signal.SIGKILL)
    since = time.monotonic()
    ended = ranks.finish(started, GONE_IN_S)
    assert time.monotonic() - since < GONE_IN_S
    assert ended[victim][0] == -signal.SIGKILL
    code, _, told = ended[1 - victim]
    assert code == 2, told
    assert f"error: process {victim} of 2 (counted from 0) is gone" in told
    assert "start all of them again to go on" in told
    before = chen.stat().st_mtime_ns
    resumed = ranks.start(command(endless("complete"), tiny_source, out, "--resume"))
    try:
        heard = len((out / "log.jsonl").read_text())
        while len((out / "log.jsonl").read_text()) == heard:
            time.sleep(0.05)
    finally:
        for each in resumed:
            each.send_signal(signal.SIGTERM)
    assert all(code == 130 for code, *_ in ranks.finish(resumed, GONE_IN_S))
    assert chen.stat().st_mtime_ns == before


def test_one_that_fails_tells_the_others_why(tiny_source, tmp_path):
    """The first process finds its folder used by another training; the second would wait for it."""
    out = tmp_path / "run"
    out.mkdir()
    with lock_held(out):
        started = ranks.start(command(tiny.config("complete"), tiny_source, out))
        ended = ranks.finish(started)
    assert [code for code, *_ in ended] == [2, 2]
    assert "error: another training is writing into this folder" in ended[0][2]
    assert "process 0 of 2 (counted from 0) has failed: another training is writing" in ended[1][2]
