"""Images whose sides do not divide: continued at the right and the bottom, and cut again behind the network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def round_up(length: int, multiple: int) -> int:
    """The smallest multiple that is not below a length."""
    return -(-length // multiple) * multiple


def pad_to(maps: Tensor, rows: int, columns: int) -> Tensor:
    """Maps (N, C, H, W) continued to (N, C, rows, columns) by repeating the last row and the last column."""
    below, right = rows - maps.shape[-2], columns - maps.shape[-1]
    return F.pad(maps, (0, right, 0, below), mode="replicate") if below or right else maps


def pad_to_multiple(maps: Tensor, multiple: int) -> Tensor:
    """Maps (N, C, H, W) continued until both sides are multiples."""
    rows, columns = maps.shape[-2:]
    return pad_to(maps, round_up(rows, multiple), round_up(columns, multiple))


def mirrored(images: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Images (…, H, W) with so many pixels more at each side, mirrored as often as it takes: textures go on."""
    rows, columns = images.shape[-2:]
    down, across = _mirror(rows, top, bottom, images), _mirror(columns, left, right, images)
    return images.index_select(-2, down).index_select(-1, across)


def _mirror(size: int, before: int, after: int, like: Tensor) -> Tensor:
    places = torch.arange(-before, size + after, device=like.device)
    period = max(1, 2 * (size - 1))
    return (places % period).minimum(-places % period)
