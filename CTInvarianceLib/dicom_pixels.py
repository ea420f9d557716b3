"""DICOM pixels to Hounsfield units: decoding, rescale, padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DicomError

PADDING_HU = -1024
"""What padding outside the scanned circle becomes, HU: the air of a scale that starts at -1024."""

EMPTY_BELOW_HU = -2000
"""At and below this nothing was measured, HU. Scanners write -2000, -2048 or -3024 outside the circle, often
without saying so in PixelPaddingValue; noisy air below -1024 stays above it."""

_AGAIN = "Copy or export the series again, with all its tags."

_DECODERS = (
    ("JPEG 2000", "pylibjpeg pylibjpeg-openjpeg"),
    ("JPEG-LS", "pyjpegls"),
    ("JPEG", "pylibjpeg pylibjpeg-libjpeg"),
)


def hounsfield(path: Path) -> NDArray[Any]:
    """HU of one single-frame CT image, shape (rows, columns).

    HU = slope · stored + intercept, padding becomes `PADDING_HU`; int16 where that loses nothing, otherwise
    float32. Source: DICOM PS3.3, C.11.1 (Modality LUT) and C.7.5.1.1.2 (padding).

    Raises:
        DicomError: truncated or damaged pixels, no decoder for their compression, no rescale to HU.
    """
    import pydicom

    try:
        dataset = pydicom.dcmread(path)
        _require_decoder(dataset, path)
        stored = dataset.pixel_array
        padding = _padding(dataset, stored)
    except DicomError:
        raise
    except Exception as error:  # pydicom raises nearly everything on damaged bytes
        raise DicomError(
            "the pixels cannot be decoded",
            where=path,
            hint=f"The file is truncated or damaged, copy or export it again ({error}).",
        ) from error
    if stored.ndim != 2:
        raise DicomError(f"pixels of shape {stored.shape} are no CT slice", where=path, hint=_AGAIN)
    slope, intercept = _rescale(dataset, path)
    with np.errstate(over="ignore", invalid="ignore"):  # CTVolume reports what is not finite
        hu = stored * slope + intercept
        hu[padding | (hu <= EMPTY_BELOW_HU)] = PADDING_HU
        limits = np.iinfo(np.int16)
        lossless = bool(((limits.min <= hu) & (hu <= limits.max) & (hu == np.rint(hu))).all())
        return np.asarray(hu, dtype=np.int16 if lossless else np.float32)


def _require_decoder(dataset: Any, path: Path) -> None:
    """Says which package decodes a compression that cannot be decoded here."""
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if available:
        return
    packages = next((package for name, package in _DECODERS if syntax.name.startswith(name)), None)
    raise DicomError(
        f"no decoder for its compression, {syntax.name} ({syntax})",
        where=path,
        hint=f"pip install {packages}" if packages else "Export the series uncompressed.",
    )


def _padding(dataset: Any, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Where stored values are PixelPaddingValue, or lie between it and PixelPaddingRangeLimit."""
    value = dataset.get("PixelPaddingValue")
    if value is None or stored.dtype.kind not in "iu":
        return np.zeros(stored.shape, dtype=bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    # Through the type of the pixels: -2000 is often written as the unsigned 63536, and the other way round.
    bounds = np.array([int(value), int(value if limit is None else limit)]).astype(stored.dtype)
    return np.asarray((bounds.min() <= stored) & (stored <= bounds.max()))


def _rescale(dataset: Any, path: Path) -> tuple[np.float64, np.float64]:
    """Slope and intercept of the linear map from stored values to HU."""
    try:
        slope, intercept = np.float64(dataset.RescaleSlope), np.float64(dataset.RescaleIntercept)
        unit = str(dataset.get("RescaleType") or "HU").strip().upper()
    except Exception as error:
        raise DicomError(
            "RescaleSlope or RescaleIntercept is missing or no number, so its HU are unknown",
            where=path,
            hint=_AGAIN,
        ) from error
    if not (np.isfinite([slope, intercept]).all() and slope):
        raise DicomError(
            f"RescaleSlope {slope} and RescaleIntercept {intercept} give no HU", where=path, hint=_AGAIN
        )
    if unit not in ("HU", "HU_MOD", "US"):  # US: unspecified, as many exports write it for ordinary HU
        raise DicomError(f"its values are {unit}, not HU", where=path, hint="Choose a series in HU.")
    return slope, intercept
