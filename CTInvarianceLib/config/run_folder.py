"""A training that goes on by itself in its folder: what is asked of it, how it stands, whether it lives.

Whoever starts one writes the request; the process that trains holds a lock while it lives and tells how it stands;
whoever follows it reads that, now or after a restart. Nobody needs a connection to anybody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..base import ModelsError, json_text, private, read_text, writing
from .names import path_in

REQUEST, STANDING, OUTPUT, STOP, ALIVE = "request.json", "progress.json", "output.txt", ".stop", ".alive"
EXAMPLE = "checkpoints/example.npz"
_MOST_BYTES = 1 << 28  # paths of a million files
_STANDING_BYTES = 1 << 20
_PATIENCE_S = 5.0  # others hold the lock for a moment, to see whether it is held


class State(StrEnum):
    """In which a training is."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Standing:
    """How a training stands.

    Attributes:
        state: in which it is.
        pid: of the process that trains.
        stages: in their order, each with the fraction that is done.
        stage: that is being trained.
        fraction: of the whole.
        eta_s: seconds left; None while nobody knows.
        message: why it failed.
        hint: what to do about it.
        notes: what people should know: series that are left out, and the like.
    """

    state: State = State.STARTING
    pid: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    stage: str = ""
    fraction: float = 0.0
    eta_s: float | None = None
    message: str = ""
    hint: str = ""
    notes: tuple[str, ...] = ()


def begin_run(folder: Path, request: dict[str, Any]) -> None:
    """Make the folder of a training, and write what is asked of it, for this user alone.

    Raises:
        ModelsError: there is a training in the folder, or it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(path_in(folder, REQUEST), "x", encoding="utf-8", opener=private) as file:
            file.write(json_text(request))
    except FileExistsError as error:
        raise ModelsError(
            "there is a training in this folder already",
            where=folder,
            hint="Resume it, or choose another folder.",
        ) from error
    except OSError as error:
        with suppress(OSError):
            (folder / REQUEST).unlink()  # half of it helps nobody
        raise ModelsError(
            f"this folder cannot be written to ({error.strerror or error})",
            where=folder,
            hint="Choose another folder.",
        ) from error


def read_request(folder: Path) -> dict[str, Any]:
    """What is asked of the training in a folder.

    Raises:
        ModelsError: nothing, or it cannot be read.
    """
    try:
        request = json.loads(read_text(path_in(folder, REQUEST), most=_MOST_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelsError(
            "this folder does not say what is to be trained", where=folder / REQUEST, hint="Start anew."
        ) from error
    if not isinstance(request, dict):
        raise ModelsError("this is no request for a training", where=folder / REQUEST, hint="Start anew.")
    return request


def write_standing(folder: Path, standing: Standing) -> None:
    """Tell how a training stands; whole or not at all.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    with writing(path_in(folder, STANDING)) as part:
        part.write_text(json_text(asdict(standing)), "utf-8")


def overwrite_standing(folder: Path, standing: Standing) -> None:
    """The same in place of what was written before, which takes no more room.

    Raises:
        OSError: the folder cannot be written to.
    """
    path_in(folder, STANDING).write_text(json_text(asdict(standing)), "utf-8")


def read_standing(folder: Path) -> Standing | None:
    """How the training in a folder stands; None where there is none, or its file says nothing."""
    try:
        content = json.loads(read_text(path_in(folder, STANDING), most=_STANDING_BYTES))
        known = {each.name: content[each.name] for each in fields(Standing)}
        return _checked(Standing(**{**known, "notes": tuple(map(str, known["notes"]))}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ModelsError):
        return None


def _checked(found: Standing) -> Standing:
    numbers = [found.fraction, found.eta_s or 0.0, *found.stages.values()]
    texts = [found.stage, found.message, found.hint, *found.stages]
    whole = isinstance(found.pid, int) and all(isinstance(each, int | float) for each in numbers)
    if not whole or not all(isinstance(each, str) for each in texts):
        raise ValueError("of another form")
    return replace(found, state=State(found.state))


def ask_to_stop(folder: Path, state: State) -> None:
    """Ask the training in a folder to keep what is done, and end; it then stands as `state`.

    Raises:
        OSError: the folder cannot be written to.
    """
    path_in(folder, STOP).write_text(state, "utf-8")


def asked_to_stop(folder: Path) -> State | None:
    """The state in which it is to end; None where nobody has asked."""
    try:
        return State(read_text(path_in(folder, STOP), most=100))
    except (OSError, ValueError, ModelsError):
        return None


def take_back_stop(folder: Path) -> None:
    """Nobody wants it to stop any more."""
    with suppress(OSError, ModelsError):
        path_in(folder, STOP).unlink(missing_ok=True)


def is_alive(folder: Path) -> bool:
    """Whether a process trains in a folder: the system gives the lock back when it ends, however it ends."""
    from filelock import FileLock, Timeout

    if not (folder / ALIVE).is_file():
        return False
    try:
        with FileLock(path_in(folder, ALIVE), timeout=0):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError, ModelsError):
        return False


@contextmanager
def being_alive(folder: Path) -> Iterator[None]:
    """Be the process that trains in a folder.

    Raises:
        ModelsError: another one does, or the folder cannot be locked.
    """
    from filelock import FileLock, Timeout

    try:
        lock = FileLock(path_in(folder, ALIVE), timeout=_PATIENCE_S)
        lock.acquire()
    except Timeout:
        raise ModelsError("another process trains in this folder", where=folder) from None
    except (OSError, NotImplementedError) as error:
        raise ModelsError(f"this folder cannot be locked ({error})", where=folder) from error
    try:
        yield
    finally:
        lock.release()


def is_unfinished(folder: Path) -> bool:
    """Whether a training was begun in a folder in this way, and has not come to its end."""
    return (folder / REQUEST).is_file()
