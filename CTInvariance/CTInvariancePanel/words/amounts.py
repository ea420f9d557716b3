"""Time and bytes as people say them."""

from __future__ import annotations

from slicer.i18n import tr as _

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """A time that is about right: "under a minute", "12 minutes", "3.5 hours", "2.1 days"."""
    if seconds < _MINUTE:
        return _("under a minute")
    if seconds < 1.5 * _MINUTE:
        return _("1 minute")
    if seconds < 1.5 * _HOUR:
        return _("{:.0f} minutes").format(seconds / _MINUTE)
    if seconds < 2 * _DAY:
        return _("{} hours").format(_short(seconds / _HOUR))
    return _("{} days").format(_short(seconds / _DAY))


def size(count: float) -> str:
    """Bytes: "under 1 MB", "84 MB", "1.2 GB"."""
    if count < 1e6:
        return _("under 1 MB")
    if count < 1e9:
        return _("{:.0f} MB").format(count / 1e6)
    return _("{} GB").format(_short(count / 1e9))


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
