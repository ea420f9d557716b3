"""Working off a grid in overlapping tiles, with the result of doing it all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..volumes import Region


def tiles(rows: int, columns: int, side: int) -> Iterator[Region]:
    """Regions of at most side × side cells that cover a grid without overlap."""
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            yield Region(top, left, min(side, rows - top), min(side, columns - left))


def by_tiles(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], *, side: int, halo: int, enlarge: int = 1
) -> Tensor:
    """`function(*inputs)`, tile by tile.

    Args:
        function: takes maps whose sides are whole multiples of the first one's, and returns maps that are `enlarge`
            times as large as the first one's; a cell of them depends on cells of the inputs at most `halo` away.
        inputs: (N, C, h, w) each; the first one's cells are counted.
        side: of the tiles, cells; with `halo`, a multiple of what the function wants its grids to be multiples of.
        halo: cells.
        enlarge: the result has enlarge · h rows.
    """
    rows, columns = inputs[0].shape[-2:]
    result = None
    for tile in tiles(rows, columns, side):
        window = tile.grown(halo, rows, columns)
        parts = [window.enlarged(maps.shape[-2] // rows).of(maps) for maps in inputs]
        inner = Region(tile.top - window.top, tile.left - window.left, tile.height, tile.width)
        part = inner.enlarged(enlarge).of(function(*parts))
        if result is None:
            result = part.new_empty(*part.shape[:2], enlarge * rows, enlarge * columns)
        tile.enlarged(enlarge).of(result).copy_(part)
    return torch.as_tensor(result)
