"""Any error in words for people: what is wrong and where, and what to do about it."""

from __future__ import annotations

import errno

from .errors import CTInvarianceError

_NO_MEMORY = ("OutOfMemoryError", "can't allocate memory", "not enough memory", "out of memory")
_MEMORY = "memory is full", "Ask for fewer samples (N), fewer slices, or a smaller region."
_ACCELERATOR = "this computer has not the accelerator that is asked for", 'Take accelerator = "auto".'
_KNOWN = {**dict.fromkeys(_NO_MEMORY, _MEMORY), "accelerator is not available": _ACCELERATOR}
"""What other packages say in words alone."""
_FAULT = "This looks like a fault of the program; its log says more."


def in_words(error: BaseException, *, fault: str = _FAULT) -> tuple[str, str]:
    """What is wrong, with its place, and a hint.

    Args:
        error: ours, or any other one.
        fault: the hint where nobody but the program can be blamed.
    """
    text = str(error)
    if isinstance(error, CTInvarianceError):
        return (error.what if error.where is None else f"{error.what}: {error.where}"), error.hint
    if full := _full(error):
        where = getattr(error, "filename", None) or text
        return f"{full}: {where}", "Free space on it, or choose another folder."
    said = "out of memory" if isinstance(error, MemoryError) else f"{type(error).__name__} {text}"
    if known := next((words for part, words in _KNOWN.items() if part in said), None):
        return known
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or text).partition(".")[0]
        return f"the Python package {package} is not installed", f"Install it: pip install {package}"
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}", "Check that the file is there and may be used."
    return f"{type(error).__name__}: {text}", fault


def _full(error: BaseException) -> str:
    """What is used up where space, or the user's share of it, is; safetensors says so in words only."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EFBIG:
        return "the disk, or a limit of this account, allows no file as large"
    return (
        "the disk is full" if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error) else ""
    )
