"""A model set's folder that another process trains in, as far as its lock says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLDER = (
    "import sys; from pathlib import Path; from CTInvarianceLib.training.lock import FolderLock;"
    "lock = FolderLock(Path(sys.argv[1])).__enter__(); print('held', flush=True); sys.stdin.read()"
)


@contextmanager
def lock_held(folder: Path) -> Iterator[None]:
    """The lock of a folder, held by a process that is killed at the end."""
    command = [sys.executable, "-c", _HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout is not None
        assert held.stdout.readline() == "held\n"
        try:
            yield
        finally:
            held.kill()
