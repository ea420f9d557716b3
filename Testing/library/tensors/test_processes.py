"""Who works together, as torchrun, SLURM and plain starts say it; and how all learn that one has ended."""

from __future__ import annotations

import os
import signal
import time

import pytest
import ranks

from CTInvarianceLib.base import ConfigError
from CTInvarianceLib.tensors import Processes, processes
from CTInvarianceLib.tensors.processes import announce

NAMES = (
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT",
    *(f"SLURM_{each}" for each in ("PROCID", "LOCALID", "JOB_ID", "NTASKS")),
    *(f"SLURM_STEP_{each}" for each in ("NUM_TASKS", "NUM_NODES", "NODELIST")),
)  # fmt: skip


@pytest.fixture
def environment(monkeypatch):
    """Sets what a starter would set, and nothing else; what `announce` adds is taken back."""
    with monkeypatch.context() as patch:
        for name in NAMES:
            patch.setenv(name, "")  # so that it is remembered, and restored in the end
            patch.delenv(name)
        yield lambda **values: [patch.setenv(name, str(value)) for name, value in values.items()]


def slurm(**more):
    return {
        "SLURM_STEP_NUM_TASKS": 8, "SLURM_STEP_NUM_NODES": 2, "SLURM_PROCID": 5, "SLURM_LOCALID": 1,
        "SLURM_STEP_NODELIST": "gpu[003-004]", "SLURM_JOB_ID": 1234567, **more,
    }  # fmt: skip


def test_alone_where_nothing_says_otherwise(environment):
    assert processes() == Processes()
    environment(SLURM_NTASKS=8, SLURM_PROCID=0)  # the shell of a batch job, before `srun`
    assert processes() == Processes()


def test_torchrun(environment):
    environment(RANK=5, WORLD_SIZE=8, LOCAL_RANK=1, LOCAL_WORLD_SIZE=4)
    assert processes() == Processes(5, 8, 1, 4)
    assert processes().machines == 2
    assert not processes().leads


def test_slurm_is_said_in_the_words_of_torchrun(environment):
    environment(**slurm())
    assert processes() == Processes(5, 8, 1, 4)
    announce(processes())
    said = {name: os.environ[name] for name in NAMES[:7]}
    assert said == {
        "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1",
        "MASTER_ADDR": "gpu003", "MASTER_PORT": "19567",
    }  # fmt: skip
    assert processes() == Processes(5, 8, 1, 4)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu7", "gpu7"), ("gpu[12,15-19],login", "gpu12"), ("a-1-[03-04]-ib", "a-1-03-ib"), ("x,y", "x")],
)
def test_the_first_machine_of_a_list(nodes, first, environment):
    environment(**slurm(SLURM_STEP_NODELIST=nodes))
    announce(processes())
    assert os.environ["MASTER_ADDR"] == first


def test_what_somebody_has_set_stays(environment):
    environment(**slurm(MASTER_ADDR="10.0.0.1", MASTER_PORT=29500))
    announce(processes())
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("10.0.0.1", "29500")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"WORLD_SIZE": "two", "RANK": "0"}, "WORLD_SIZE is 'two', no number"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "no process 2 among 2"),
        ({"WORLD_SIZE": "6", "RANK": "0", "LOCAL_WORLD_SIZE": "4"}, "no process 0 among 6, 4 on a machine"),
        (slurm(SLURM_STEP_NUM_TASKS=7), "7 processes are not spread evenly over 2 machines"),
    ],
)
def test_contradictions_are_named(said, message, environment):
    environment(**said)
    with pytest.raises(ConfigError, match=message):
        processes()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_are_everything_once_and_come_back_in_order(count, monkeypatch):
    work = list("abcdefgh")
    shares = [Processes(rank, count).share(work) for rank in range(count)]
    assert sorted(each for share in shares for each in share) == work
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    monkeypatch.setattr(Processes, "gather", lambda self, own: shares)
    assert Processes(0, count).together(shares[0]) == work


BODY = """
import os, signal, sys
from CTInvarianceLib.base import Cancelled
from CTInvarianceLib.tensors import together
with together() as own:
    assert own.gather(own.rank) == list(range(own.count))
with together() as own:
    assert own.gather({"rank": own.rank})[-1] == {"rank": own.count - 1}
    if own.rank == 1:
        if sys.argv[1] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if sys.argv[1] == "fails":
            raise MemoryError
        if sys.argv[1] == "cancelled":
            raise Cancelled
    own.gather(own.rank)
    print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("well", ""),
        ("killed", "ProcessError: process 1 of 3 (counted from 0) is gone, and its connection has broken"),
        ("fails", "ProcessError: process 1 of 3 (counted from 0) has failed: memory is full"),
        ("cancelled", "Cancelled: process 1 of 3"),
    ],
)
def test_all_end_when_one_does_and_all_say_why(how, error):
    started = time.monotonic()
    ended = ranks.finish(ranks.start(["-c", BODY, how], count=3), 150)
    print(how, time.monotonic() - started)
    if how == "well":
        assert [(code, said) for code, said, _ in ended] == [(0, "done\n")] * 3, ended
    else:
        # gloo may abort while Python tidies up; the command line ends before that.
        codes = (-signal.SIGKILL,) if how == "killed" else (1, -signal.SIGABRT)
        assert ended[1][0] in codes
        for code, said, told in (ended[0], ended[2]):
            assert (code, said) == (1, "")
            assert error in told


@pytest.mark.slow
def test_one_that_stands_still_is_given_up_also_by_one_that_waits_inside_of_torch():
    """As on a machine that has frozen: its connections stay open, and nothing is said through them."""
    body = """
import sys, time
from CTInvarianceLib.tensors import companions, together
companions.GONE_S, companions.GRACE_S = 6.0, 3.0
with together() as own:
    own.gather(0)
    print("ready", flush=True)
    if own.rank == 1:
        time.sleep(600)
    own.gather(1)
"""
    started = ranks.start(["-c", body])
    assert all(each.stdout.readline() == "ready\n" for each in started)
    started[1].send_signal(signal.SIGSTOP)
    started[0].wait(90)
    started[1].kill()
    (code, _, told), _ = ranks.finish(started, 10)
    assert code == 2
    assert "error: process 1 of 2 (counted from 0) is gone, without a sign of life for 6 s" in told
