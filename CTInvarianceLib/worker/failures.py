"""What went wrong, as an event for the panel."""

from __future__ import annotations

import traceback

from ..base import in_words


def failure(error: BaseException) -> dict[str, str]:
    """Fields of an "error" event: type, message (what and where), hint (what to do), traceback."""
    message, hint = in_words(error)
    return {
        "type": type(error).__name__,
        "message": message,
        "hint": hint,
        "traceback": "".join(traceback.format_exception(error)),
    }
