"""Counts floating-point operations while loops run."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Operations(TorchDispatchMode):
    """Those of every call of torch inside the block, by torch's own formulas; an addition and a multiplication are two.

    FlopCounterMode counts by modules, which the second derivatives of a gradient penalty do not bear.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what is called, and count it."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if formula := flop_registry.get(func._overloadpacket):
            self.total += formula(*args, **kwargs, out_val=out)
        return out
