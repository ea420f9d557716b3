"""Text from elsewhere where Qt reads HTML: shown as it is, never obeyed."""

from __future__ import annotations

from html import escape


def plain(text: object) -> str:
    """Text inside HTML."""
    return escape(str(text), quote=False)


def plainTip(text: object) -> str:
    """Text for tool tips and dialogs, which take for HTML whatever looks like it."""
    return f"<qt>{plain(text)}</qt>"
