"""Numbers as people read them."""

from __future__ import annotations

import pytest

from CTInvarianceLib.base import decimal, megabytes


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (1.23456, 3, "1.235"),
        (0.0, 3, "0"),
        (0.0005, 3, "0.001"),
        (0.0004, 3, "< 0.001"),
        (-0.0004, 3, "> -0.001"),
        (-2.5, 1, "-2.5"),
        (0.04, 1, "< 0.1"),
        (1e-300, 2, "< 0.01"),
        (float("nan"), 2, "–"),
        (float("inf"), 2, "–"),
    ],
)
def test_what_is_something_is_not_shown_as_nothing(value, places, text):
    assert decimal(value, places) == text


def test_bytes_are_told_in_megabytes():
    assert [megabytes(size) for size in (0, 4096, 12.4e6)] == ["0 MB", "< 1 MB", "12 MB"]
