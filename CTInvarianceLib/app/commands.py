"""The commands by name; each takes its parsed options, and may return an exit code."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from .data_commands import pairs, phantom, store
from .model_commands import demo, evaluate, models, train
from .sample_commands import sample
from .volume_commands import denoise, simulate

COMMANDS: dict[str, Callable[[Namespace], int | None]] = {
    function.__name__: function
    for function in (pairs, store, simulate, phantom, train, denoise, sample, evaluate, models, demo)
}
