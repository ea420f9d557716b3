"""Whether the other processes of a piece of work are still there.

One that is killed, or whose machine fails, says nothing: the others would wait for it, with NCCL for as long as the
longest step may take. So every process gives a sign of life every second, in the store that torch has for processes to
find each other. Who has given none for a minute is gone; whoever fails says why. The others then end within a bounded
time, with a message that names who it was. torchrun ends them too; `srun` and plain starts may not.
"""

from __future__ import annotations

import _thread
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache
from itertools import count as counting
from typing import Any

import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ..base import Cancelled, ConfigError, ProcessError, in_words, printable

JOIN = timedelta(minutes=5)
"""In which all processes must have come."""
GONE_S = 60.0
"""Without a sign of life, after which a process is taken for gone."""
SUSPECT_S = 5.0
"""The same once a connection has broken."""
GRACE_S = 20.0
"""In which a process that waits inside of torch may end by itself."""
_BEAT_S, _LOOK_S = 1.0, 0.25
_ANSWER_S = 15.0  # in which it is found out who is gone
_FAREWELL_S = 5.0  # in which the others learn from the first one's store how it ended
_LEFT, _BYE = "left", "bye"  # at the end of the work; and having seen that all are
_END = "end"
_BROKEN = ("gloo", "nccl", "connection closed by peer", "connection reset by peer", "broken pipe")
_FAILED, _CANCELLED = 2, 130  # exit codes of the command line


@dataclass(frozen=True)
class End:
    """Why all end: who was first, and what it was."""

    rank: int
    count: int
    what: str
    hint: str = ""
    cancelled: bool = False

    def error(self) -> ProcessError | Cancelled:
        """What it means to the others."""
        who = f"process {self.rank} of {self.count} (counted from 0)"
        if self.cancelled:
            return Cancelled(who)
        hint = self.hint or "What was saved is kept: start all of them again to go on."
        return ProcessError(f"{who} {self.what}", hint=hint)


@contextmanager
def watched(rank: int, count: int) -> Iterator[None]:
    """Watch over the others while the block works; see `processes.together`."""
    watch = _Watch(rank, count)
    try:
        yield
    except BaseException as error:
        watch.leaving = True
        end = watch.cause(error)
        watch.leave_early()
        if end is None:
            raise
        raise end.error() from error
    watch.leave()


class _Watch:
    """Signs of life of all processes, given and looked at by a thread.

    Args:
        rank: of this one.
        count: of all.
    """

    def __init__(self, rank: int, count: int) -> None:
        self.leaving = False
        self._rank, self._count = rank, count
        self._others = [each for each in range(count) if each != rank]
        self._store = PrefixStore(f"ctinvariance {next(_turns)}", _store(rank, count))
        self._one_at_a_time = threading.Lock()
        self._end: End | None = None
        self._stop = threading.Event()
        self._meet()
        self._signs = {each: ("", time.monotonic()) for each in self._others}
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _meet(self) -> None:
        """Wait for all to begin the same work: some may still be at the end of what came before."""
        try:
            self._store.set(_key(self._rank), "")
            self._store.wait([_key(each) for each in self._others], JOIN)
        except dist.DistError as error:
            raise _not_found(f"some of {self._count} processes did not come", error) from error

    def _watch(self) -> None:
        known = None
        for number in counting():
            if self._stop.wait(_BEAT_S):
                return
            self._look(str(number))
            if self._end is None or self.leaving:
                continue
            if known is None:
                known = time.monotonic()
                _thread.interrupt_main()
            elif time.monotonic() - known > GRACE_S:
                _abandon(self._end.error())

    def _look(self, sign: str) -> None:
        """Give a sign of life, and look at those of the others."""
        try:
            with self._one_at_a_time:
                self._store.set(_key(self._rank), sign)
                if self._end is None and self._store.check([_END]):
                    self._end = End(**json.loads(self._store.get(_END)))
                words = self._store.multi_get([_key(each) for each in self._others])
        except RuntimeError as error:  # the store has gone, with the process that kept it
            self._end = self._end or End(0, self._count, _gone(f"or out of reach ({_short(error)})"))
            return
        now = time.monotonic()
        for each, word in zip(self._others, words, strict=True):
            if (text := word.decode()) != self._signs[each][0]:
                self._signs[each] = text, now
        if self._end is None and (silent := self._silent(GONE_S)):
            self._tell(End(silent[0], self._count, _gone(f"without a sign of life for {GONE_S:.0f} s")))

    def _silent(self, seconds: float) -> list[int]:
        """Who has said nothing for so long and has not left, the longest silent first."""
        now = time.monotonic()
        found = sorted(
            (when, each) for each, (word, when) in self._signs.items() if word not in (_LEFT, _BYE)
        )
        return [each for when, each in found if now - when > seconds]

    def _tell(self, end: End) -> None:
        """Say why all end; whoever said so first is right."""
        self._end = end
        with suppress(RuntimeError), self._one_at_a_time:
            self._end = End(**json.loads(self._store.compare_set(_END, "", json.dumps(asdict(end)))))

    def cause(self, error: BaseException) -> End | None:
        """Why others make this process end with an error; None: it is its own, and they are told."""
        broken, stopped = _is_broken(error), isinstance(error, KeyboardInterrupt | Cancelled)
        until = time.monotonic() + _ANSWER_S
        while broken and self._end is None and time.monotonic() < until:
            time.sleep(_LOOK_S)
            if silent := self._silent(SUSPECT_S):
                self._tell(End(silent[0], self._count, _gone("and its connection has broken")))
        if self._end is not None and (broken or stopped):
            return self._end
        what, hint = ("was cancelled", "") if stopped else in_words(error)
        self._tell(
            End(self._rank, self._count, what if stopped else f"has failed: {what}", hint, cancelled=stopped)
        )
        return None

    def leave(self) -> None:
        """Go when all have come to the end of their work.

        Raises:
            ProcessError, Cancelled: one has not.
        """
        self.leaving = True
        self._stop.set()
        self._thread.join()
        self._await(_LEFT, (_LEFT, _BYE))
        if self._end is not None:
            raise self._end.error()
        # The first one keeps the store until the others have seen it there.
        self._await(_BYE, (_BYE,) if self._rank == 0 else (), _FAREWELL_S)

    def leave_early(self) -> None:
        """Go after a failure."""
        self._stop.set()
        self._thread.join()
        self._await(_LEFT, (_LEFT, _BYE) if self._rank == 0 else (), _FAREWELL_S, failed=True)

    def _await(
        self, sign: str, wanted: tuple[str, ...], seconds: float = float("inf"), *, failed: bool = False
    ) -> None:
        """Give a sign until all others have given theirs; () waits for none."""
        until = time.monotonic() + seconds
        self._look(sign)
        while wanted and any(word not in wanted for word, _ in self._signs.values()):
            if time.monotonic() > until or (self._end is not None and not failed):
                return
            time.sleep(_LOOK_S)
            self._look(sign)


def _abandon(error: ProcessError | Cancelled) -> None:
    """End a process that waits inside of torch for one that is gone; what is saved is whole."""
    if isinstance(error, Cancelled):
        line, code = f"{error} was cancelled; what was finished is kept", _CANCELLED
    else:
        line, code = f"error: {error}", _FAILED
    print(printable(line), file=sys.stderr, flush=True)
    os._exit(code)


def _key(rank: int) -> str:
    return f"sign {rank}"


def _gone(how: str) -> str:
    return f"is gone, {how}: it was killed, or its machine has failed"


def _short(error: BaseException) -> str:
    return str(error).partition("\n")[0][:120]


def _is_broken(error: BaseException) -> bool:
    """Whether an error is that of a connection between processes."""
    if isinstance(error, dist.DistError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _BROKEN)


def _not_found(what: str, error: BaseException) -> ConfigError:
    return ConfigError(
        f"{what} ({_short(error)})",
        where=f"{os.environ.get('MASTER_ADDR')}, port {os.environ.get('MASTER_PORT')}",
        hint="Start all of them at once, where they reach the first one's machine and port.",
    )


@cache
def _store(rank: int, count: int) -> Any:
    """Kept for as long as the process lives: a second one could not have the port."""
    try:
        return next(rendezvous("env://", rank, count, timeout=JOIN))[0]
    except (dist.DistError, ValueError, OSError) as error:
        raise _not_found(f"{count} processes did not find each other", error) from error


_turns = counting()  # numbers of the pieces of work, the same in all processes
