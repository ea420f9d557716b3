"""One training in a folder at a time."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from ..base import ModelsError
from ..config import LOCK, path_in


class FolderLock:
    """Held while a training writes into its folder; given back by the system when the process dies.

    A folder that is there is locked at once. One that is to be made is locked when `take` makes it: where something is
    wrong with the data, nothing is written.

    Args:
        folder: of the model set.
        leads: whether this process writes; of several that train together, one does.
    """

    def __init__(self, folder: Path, *, leads: bool = True) -> None:
        self._folder, self._leads = folder, leads
        self._lock: Any = None

    def __enter__(self) -> FolderLock:
        if self._folder.is_dir():
            self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release()

    def take(self) -> None:
        """Make the folder if need be, and lock it if it is not.

        Raises:
            ModelsError: somebody else trains there, or the folder cannot be written to.
        """
        from filelock import FileLock, Timeout

        if self._lock is not None or not self._leads:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path_in(self._folder, LOCK), timeout=0)
            lock.acquire()
        except Timeout:
            raise ModelsError(
                "another training is writing into this folder",
                where=self._folder,
                hint="Wait for its end, or choose another folder.",
            ) from None
        except (OSError, NotImplementedError) as error:  # some network file systems know no locks
            reason = getattr(error, "strerror", None) or error
            raise ModelsError(
                f"this folder cannot be locked ({reason})", where=self._folder, hint="Choose another folder."
            ) from error
        self._lock = lock
