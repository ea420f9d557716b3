"""Slicer's DICOM database as patients, series and pairs."""

from .tree import PatientRow, SeriesRow

__all__ = [
    "PatientRow",
    "SeriesRow",
]
