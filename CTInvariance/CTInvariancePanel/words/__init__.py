"""What the numbers of a draw mean, in sentences that need no statistics; amounts; and how text is shown as it is."""

from .amounts import duration, size
from .markup import plain, plainTip
from .numbers import PROPOSED, figures, figuresOf, numberOf
from .verdict import BAD, DOUBTFUL, GOOD, OPEN, Verdict, verdictOf

__all__ = [
    "BAD",
    "DOUBTFUL",
    "GOOD",
    "OPEN",
    "PROPOSED",
    "Verdict",
    "duration",
    "figures",
    "figuresOf",
    "numberOf",
    "plain",
    "plainTip",
    "size",
    "verdictOf",
]
