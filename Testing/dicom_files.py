"""Writes small, valid CT DICOM series for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def write_slice(path: Path, stored: NDArray[Any], *, rle: bool = False, **tags: Any) -> Path:
    """One CT image of stored values (rows, columns), or (rows, columns, 3) uint8 for colour.

    Tags are set by keyword; None removes one.
    """
    uid = generate_uid()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), Dataset(), file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    dataset.Modality, dataset.PatientID, dataset.SeriesDescription = "CT", "patient", "Axial"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Rows, dataset.Columns = stored.shape[:2]
    dataset.SamplesPerPixel = stored.shape[2] if stored.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if stored.ndim == 3 else "MONOCHROME2"
    if stored.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * stored.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelSpacing, dataset.SliceThickness = [0.75, 0.5], 3
    dataset.ImageOrientationPatient, dataset.ImagePositionPatient = list(AXIAL), [0, 0, 0]
    dataset.PixelData = stored.tobytes()
    for name, value in tags.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    if rle:
        dataset.compress(RLELossless)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path,
    hu: NDArray[Any],
    *,
    origin: Sequence[float] = (-10, -20, 30),
    step: Sequence[float] = (0, 0, 3),
    names: Sequence[str] | None = None,
    positions: Sequence[Sequence[float]] | None = None,
    dtype: str = "<u2",
    **tags: Any,
) -> list[Path]:
    """A series of HU, shape (slices, rows, columns), one `step` (mm, LPS) apart; paths in that order.

    Tags apply to every slice; `positions` replaces origin and step.
    """
    intercept = float(tags.get("RescaleIntercept", -1024))
    slope = float(tags.get("RescaleSlope", 1))
    paths = []
    for k, image in enumerate(hu):
        place = np.add(origin, np.multiply(k, step)) if positions is None else positions[k]
        stored = np.rint((image - intercept) / slope).astype(dtype)
        path = folder / (names[k] if names else f"{k:03d}.dcm")
        paths.append(
            write_slice(path, stored, **{"ImagePositionPatient": [format(x, ".10g") for x in place], **tags})
        )
    return paths
