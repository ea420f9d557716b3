"""What a sample is worth, in numbers."""

from .calibration import FUNCTIONALS, Calibration, calibrate
from .evidence import Evidence, gather_evidence
from .faithfulness import consistency, consistency_of, mosaics

__all__ = [
    "FUNCTIONALS",
    "Calibration",
    "Evidence",
    "calibrate",
    "consistency",
    "consistency_of",
    "gather_evidence",
    "mosaics",
]
