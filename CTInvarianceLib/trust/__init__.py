"""What a sample is worth, in numbers."""

from .faithfulness import consistency, mosaics

__all__ = [
    "consistency",
    "mosaics",
]
