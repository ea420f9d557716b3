"""DICOM pixels to Hounsfield units: decoding, rescale, padding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import DicomError
from ..volumes import EMPTY_BELOW_HU, PADDING_HU
from .decoding import keeps_unused_bits, stored_values
from .header import DicomHeader

_AGAIN = "Copy or export the series again, with all its tags."


def hounsfield(header: DicomHeader) -> NDArray[Any]:
    """HU of one single-frame CT image, shape (rows, columns).

    HU = slope · stored + intercept, padding becomes `PADDING_HU`; int16 where that loses nothing, otherwise
    float32. Source: DICOM PS3.3, C.11.1 (Modality LUT) and C.7.5.1.1.2 (padding).

    Raises:
        DicomError: truncated or damaged pixels, no decoder for their compression, no rescale to HU.
    """
    path = header.path
    try:
        written = stored_values(header)
        bounds = _padding(header, written)
    except DicomError:
        raise
    except Exception as error:  # pydicom raises nearly everything on damaged bytes
        raise DicomError(
            "the pixels cannot be decoded",
            where=path,
            hint=f"The file is truncated or damaged, copy or export it again ({error}).",
        ) from error
    if written.ndim != 2:
        raise DicomError(f"pixels of shape {written.shape} are no CT slice", where=path, hint=_AGAIN)
    stored = _used(header, written)
    unused = (
        bounds is not None and stored is not written and not np.array_equal(_used(header, bounds), bounds)
    )
    slope, intercept = _rescale(header)
    inside = None if unused else bounds
    shifted = _shifted(stored, intercept, inside) if slope == 1 else None
    hu = _rescaled(stored, slope, intercept, inside) if shifted is None else shifted
    if bounds is not None and unused:  # padding that no stored value can be: it is told by the other bits
        hu[_between(written, bounds)] = PADDING_HU
    return hu


def _used(header: DicomHeader, written: NDArray[Any]) -> NDArray[Any]:
    """Values out of the bits that hold them, BitsStored of them up to HighBit. Source: PS3.5, 8.1.1.

    Raises:
        DicomError: a HighBit that cannot be.
    """
    allocated, stored = map(int, header.bits)
    lowest = header.high_bit + 1 - stored if header.high_bit >= 0 else 0
    if not (0 <= lowest <= allocated - stored and (lowest == 0 or keeps_unused_bits(header))):
        raise DicomError(
            f"HighBit {header.high_bit} does not fit {stored} of {allocated} bits",
            where=header.path,
            hint=_AGAIN,
        )
    if stored == allocated or not keeps_unused_bits(header):
        return written
    if lowest and (written & ((1 << lowest) - 1)).any():
        raise DicomError(
            f"HighBit {header.high_bit} says that the lowest {lowest} bits are not used, but they are",
            where=header.path,
            hint=_AGAIN,
        )
    return written << (allocated - stored - lowest) >> (allocated - stored)


def _shifted(stored: NDArray[Any], intercept: float, bounds: NDArray[Any] | None) -> NDArray[np.int16] | None:
    """HU = stored + intercept in int16 arithmetic, exact; None where that does not hold them all.

    What lies at or below `EMPTY_BELOW_HU` is replaced, so only the upper end can leave int16.
    """
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize != 2 or intercept != np.rint(intercept):
        return None
    if abs(intercept) > 1 << 15:
        return None
    offset, top = int(intercept), int(np.iinfo(np.int16).max)
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    outside = None if bounds is None else _between(stored, bounds)
    if int(stored.min()) <= EMPTY_BELOW_HU - offset:
        empty = stored <= EMPTY_BELOW_HU - offset
        outside = empty if outside is None else outside | empty
    if int(stored.max()) > top - offset:
        high = stored > top - offset
        if outside is None or (high & ~outside).any():
            return None
    hu = stored.view(np.int16) + np.array(offset).astype(np.int16)  # modulo 2^16, which the result undoes
    if outside is not None:
        np.copyto(hu, np.int16(PADDING_HU), where=outside)
    return np.asarray(hu)


def _rescaled(
    stored: NDArray[Any], slope: float, intercept: float, bounds: NDArray[Any] | None
) -> NDArray[Any]:
    """HU in float64, then the smallest type that holds them."""
    outside = False if bounds is None else _between(stored, bounds)
    with np.errstate(over="ignore", invalid="ignore"):  # CTVolume reports what is not finite
        hu = stored * np.float64(slope) + intercept
        hu[outside | (hu <= EMPTY_BELOW_HU)] = PADDING_HU
        limits = np.iinfo(np.int16)
        lossless = bool(((limits.min <= hu) & (hu <= limits.max) & (hu == np.rint(hu))).all())
        return np.asarray(hu, dtype=np.int16 if lossless else np.float32)


def _between(stored: NDArray[Any], bounds: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray((bounds.min() <= stored) & (stored <= bounds.max()))


def _padding(header: DicomHeader, stored: NDArray[Any]) -> NDArray[Any] | None:
    """PixelPaddingValue and PixelPaddingRangeLimit in the type of the pixels; None without padding.

    -2000 is often written as the unsigned 63536, and the other way round.
    """
    if not header.padding or stored.dtype.kind not in "iu":
        return None
    if len(header.padding) > 2:
        raise ValueError(f"PixelPaddingValue holds {len(header.padding)} numbers")
    return np.array([int(value) for value in header.padding]).astype(stored.dtype)


def why_not_hounsfield(header: DicomHeader) -> DicomError | None:
    """What `hounsfield` would say of the rescale that a header names; None where it leads to HU."""
    try:
        _rescale(header)
    except DicomError as error:
        return error
    return None


def _rescale(header: DicomHeader) -> tuple[float, float]:
    """Slope and intercept of the linear map from stored values to HU."""
    path = header.path
    if len(header.rescale) != 2:
        raise DicomError(
            "RescaleSlope or RescaleIntercept is missing or no number, so its HU are unknown",
            where=path,
            hint=_AGAIN,
        )
    slope, intercept = header.rescale
    if not (np.isfinite([slope, intercept]).all() and slope):
        raise DicomError(
            f"RescaleSlope {slope} and RescaleIntercept {intercept} give no HU", where=path, hint=_AGAIN
        )
    if header.unit not in ("", "HU", "HU_MOD", "US"):  # US: unspecified, as many exports write it for HU
        raise DicomError(f"its values are {header.unit}, not HU", where=path, hint="Choose a series in HU.")
    return slope, intercept
