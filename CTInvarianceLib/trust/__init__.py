"""What a sample is worth, in numbers."""

from .evidence import Evidence, gather_evidence
from .faithfulness import consistency, consistency_of, mosaics

__all__ = [
    "Evidence",
    "consistency",
    "consistency_of",
    "gather_evidence",
    "mosaics",
]
