"""What lies in the folder of a training that goes on by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from CTInvarianceLib.base import ModelsError
from CTInvarianceLib.config import (
    Standing,
    State,
    ask_to_stop,
    asked_to_stop,
    begin_run,
    being_alive,
    is_alive,
    is_unfinished,
    read_request,
    read_standing,
    take_back_stop,
    write_standing,
)

HOLD = """
import sys, pathlib
from CTInvarianceLib.config import being_alive
with being_alive(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path):
    """A process that is alive in the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline().strip() == b"held"
    yield process
    process.kill()
    process.communicate()


def test_a_request_is_made_once_and_for_its_user_alone(tmp_path):
    folder = tmp_path / "Läufe" / "run"
    begin_run(folder, {"data": ["ä.dcm"]})
    assert read_request(folder) == {"data": ["ä.dcm"]}
    assert is_unfinished(folder)
    if os.name == "posix":
        assert (folder / "request.json").stat().st_mode & 0o077 == 0
    with pytest.raises(ModelsError, match="there is a training in this folder already"):
        begin_run(folder, {"data": ["b.dcm"]})
    assert read_request(folder) == {"data": ["ä.dcm"]}


def test_where_a_request_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ModelsError, match="cannot be written to"):
        begin_run(tmp_path / "file" / "run", {})
    with pytest.raises(ModelsError, match="does not say what is to be trained"):
        read_request(tmp_path)


def test_how_it_stands_is_read_as_it_was_written(tmp_path):
    told = Standing(State.RUNNING, 7, {"data": 1.0, "flow": 0.5}, "flow", 0.75, 12.5, notes=("left out",))
    write_standing(tmp_path, told)
    assert read_standing(tmp_path) == told


@pytest.mark.parametrize(
    "change",
    [{"state": "flying"}, {"pid": "7"}, {"stages": {"a": "b"}}, {"stages": 3}, {"eta_s": "soon"}, {"notes": 3}, None],
)  # fmt: skip
def test_what_cannot_be_is_not_believed(tmp_path, change):
    good = json.loads(json.dumps(asdict(Standing())))
    text = "{" if change is None else json.dumps({**good, **change})
    (tmp_path / "progress.json").write_text(text)
    assert read_standing(tmp_path) is None
    assert read_standing(tmp_path / "nowhere") is None


def test_a_folder_is_alive_as_long_as_its_process(tmp_path, held):
    assert is_alive(tmp_path)
    assert is_alive(tmp_path), "to look does not take it away"
    held.kill()
    held.wait()
    assert not is_alive(tmp_path)
    assert not is_alive(tmp_path / "nowhere")


@pytest.mark.slow
def test_there_is_one_process_to_a_folder(tmp_path, held):
    with pytest.raises(ModelsError, match="another process trains"), being_alive(tmp_path):
        pass


def test_somebody_asks_it_to_stop(tmp_path):
    assert asked_to_stop(tmp_path) is None
    ask_to_stop(tmp_path, State.PAUSED)
    assert asked_to_stop(tmp_path) is State.PAUSED
    take_back_stop(tmp_path)
    take_back_stop(tmp_path)
    assert asked_to_stop(tmp_path) is None
