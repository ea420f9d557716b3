"""Images that go on beyond their borders."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from CTInvarianceLib.tensors import mirrored


@pytest.mark.parametrize("sides", [(0, 0, 0, 0), (3, 0, 0, 2), (4, 4, 4, 4), (20, 11, 13, 9)])
@pytest.mark.parametrize("shape", [(5, 7), (2, 3)])
def test_mirroring_is_numpys_reflection(shape, sides):
    image = torch.arange(float(np.prod(shape))).reshape(1, 1, *shape)
    left, right, top, bottom = sides
    known = np.pad(image[0, 0], ((top, bottom), (left, right)), mode="reflect")
    np.testing.assert_array_equal(mirrored(image, left, right, top, bottom)[0, 0], known)


def test_a_single_row_is_repeated():
    assert torch.equal(mirrored(torch.ones(1, 1, 1, 4), 0, 0, 2, 2), torch.ones(1, 1, 5, 4))
