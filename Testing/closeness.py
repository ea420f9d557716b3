"""Equal but for rounding: what two computations of one thing, in different shapes or on other processors, owe us.

Libraries choose their kernels by shape, number of threads and processor, and each sums in an order of its own. Of
n products with random rounding errors, two orders differ by about √n/2 units in the last place of the terms; our
layers sum 10 to 1000 products, a dozen of them in a row. So the same thing computed twice in different ways differs
by some units in the last place of its largest value, and a mistake by thousands.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ULPS = 64


def assert_same(actual: Any, expected: Any, *, ulps: float = ULPS) -> None:
    """Tensors or arrays of one shape differ by no more than some units in the last place of the largest value."""
    apart = ulps_apart(actual, expected)
    assert apart <= ulps, f"{apart:.3g} units in the last place of the largest value apart, {ulps:g} allowed"


def ulps_apart(actual: Any, expected: Any) -> float:
    """The largest difference in units in the last place of the largest expected value.

    Infinite where one value is finite and the other is not; NaN equals NaN.
    """
    ours, theirs = _array(actual), _array(expected)
    assert ours.shape == theirs.shape, f"shapes differ: {ours.shape}, {theirs.shape}"
    unit = max(np.finfo(part.dtype).eps for part in (ours, theirs))
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    finite = np.isfinite(theirs)
    if (
        not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True)
        or not np.isfinite(ours[finite]).all()
    ):
        return float("inf")
    difference = np.abs(ours - theirs)[finite].max(initial=0.0)
    largest = np.abs(theirs[finite]).max(initial=0.0)
    return float(difference / (unit * largest)) if difference else 0.0


def _array(values: Any) -> np.ndarray:
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    assert np.issubdtype(array.dtype, np.floating), f"{array.dtype} does not round: compare for equality"
    return array
