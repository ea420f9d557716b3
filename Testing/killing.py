"""Commands that are killed at random moments.

A process that has loaded everything forks off a child for each, so that a kill costs no start. Half of the kills come
by the clock; the others before a random file is opened to be written, renamed, made or removed: moments between two
changes on disk are so short that no clock would meet them.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

KILLS = int(os.environ.get("CTINVARIANCE_KILLS", "4"))
"""Of each command."""

_PARENT = """
import contextlib, importlib, json, os, signal, sys, time, traceback
from CTInvarianceLib.app import main

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.utime", "sqlite3.connect")
exec(sys.argv[1])

def child(arguments, last, report):
    seen, begin = 0, time.perf_counter()
    def heard(event, values):
        nonlocal seen
        if event in CHANGES or (event == "open" and (values[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
            seen += 1
            if seen == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(heard)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    code = main(arguments)
    seconds, changes = time.perf_counter() - begin, seen
    os.write(report, json.dumps([code, seconds, changes, list(sys.modules)]).encode())

for line in sys.stdin:
    arguments, seconds, last = json.loads(line)
    reading, writing = os.pipe()
    number = os.fork()
    if not number:
        try:
            os.close(reading)
            child(arguments, last, writing)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(number, signal.SIGKILL)
    with os.fdopen(reading, "rb") as report:
        said = report.read()
        told = json.loads(said) if said.endswith(b"]]") else None  # else it was killed while it told
    _, status = os.waitpid(number, 0)
    for name in told.pop() if told else ():  # so that the next child need not load it
        with contextlib.suppress(Exception):
            sys.modules.get(name) or importlib.import_module(name)
    print(json.dumps([os.WIFSIGNALED(status), told]), flush=True)
"""


@dataclass(frozen=True)
class Run:
    """A run that came to its end: exit code, seconds, changes on disk."""

    code: int
    seconds: float
    changes: int


class Killer:
    """Runs commands and kills them.

    Args:
        prepared: code that the process executes first, such as one that makes constants smaller.
    """

    def __init__(self, prepared: str = "") -> None:
        seed = int(os.environ.get("CTINVARIANCE_SEED", "0"))  # another one tries other moments
        self.moments, self.killed = random.Random(seed), Counter[str]()
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _PARENT, prepared],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def run(self, arguments: Iterable[object]) -> Run:
        """Run a command to its end."""
        _, told = self._ask(arguments, None, None)
        assert told, "the command failed, see standard error"
        return Run(*told)

    def kill(self, arguments: Iterable[object], whole: Run) -> Run | None:
        """Kill a command at a random moment of what takes so long; None: it was, else what it came to before.

        By the clock and at a change in turns.
        """
        by_clock = self.killed.total() % 2 == 0 or not whole.changes
        seconds = self.moments.uniform(0, whole.seconds) if by_clock else None
        last = None if by_clock else self.moments.randint(1, whole.changes)
        killed, told = self._ask(arguments, seconds, last)
        if told:
            return Run(*told)
        assert killed, "the command failed, see standard error"
        self.killed["by the clock" if by_clock else "at a change"] += 1
        return None

    def _ask(
        self, arguments: Iterable[object], seconds: float | None, last: int | None
    ) -> tuple[bool, list[float] | None]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([[str(each) for each in arguments], seconds, last]) + "\n")
        self._process.stdin.flush()
        killed, told = json.loads(self._process.stdout.readline())
        return killed, told


def hashes(*places: Path) -> dict[str, str]:
    """SHA-256 of every file below some folders, or of files."""
    import hashlib

    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*"))]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}


def remains(folder: Path) -> list[Path]:
    """What has the name of something unfinished."""
    return sorted(folder.rglob(".ctinvariance-*"))
