"""DICOM pixels as they are stored: out of the file, through the decoder of their compression."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..base import DicomError
from .elements import DEFLATED, pixel_element, quietly
from .header import UNCOMPRESSED, DicomHeader
from .whole_pixels import require_whole

_RLE = "1.2.840.10008.1.2.5"
_PACKAGES = (
    ("JPEG 2000", "pylibjpeg pylibjpeg-openjpeg"),
    ("High-Throughput JPEG 2000", "pylibjpeg pylibjpeg-openjpeg"),
    ("JPEG-LS", "pyjpegls"),
    ("JPEG", "pylibjpeg pylibjpeg-libjpeg"),
)


def stored_values(header: DicomHeader) -> NDArray[Any]:
    """Stored values of one grey-value frame, by pydicom's decoders, (rows, columns); all the bits that are allocated.

    Where every bit is kept as it was, in uncompressed and RLE files, those that are not used may hold anything; other
    decoders clear them. The header is not read again where it says all that is needed.

    Raises:
        DicomError: no decoder for their compression.
        Exception: nearly everything, on damaged bytes.
    """
    from pydicom.pixels import get_decoder

    if not len(header.size) == len(header.bits) == 2 or header.signed is None:
        raise ValueError("Rows, Columns, BitsAllocated, BitsStored or PixelRepresentation is missing")
    element = pixel_element(header.path, header.pixels_at, header.syntax)
    if element is None or not isinstance(element.value, bytes):
        raise ValueError("there are no pixels")
    _require_decoder(header.syntax, header.path)
    with quietly():
        require_whole(header, element.value)
        array, _ = get_decoder(header.syntax).as_array(element.value, **_options(header, element.VR))
    return array


def keeps_unused_bits(header: DicomHeader) -> bool:
    """Whether `stored_values` has all bits as they were written."""
    return header.syntax in (*UNCOMPRESSED, DEFLATED, _RLE)


def _options(header: DicomHeader, vr: str) -> dict[str, Any]:
    """What pydicom's decoders want to know; grey values of one frame, which the caller has made sure of."""
    (rows, columns), (allocated, stored) = map(int, header.size), map(int, header.bits)
    return {
        "rows": rows,
        "columns": columns,
        "bits_allocated": allocated,
        "bits_stored": allocated if keeps_unused_bits(header) else stored,
        "pixel_representation": int(bool(header.signed)),
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_keyword": "PixelData",
        "pixel_vr": vr,
        "view_only": keeps_unused_bits(header) or allocated == stored,  # otherwise they are cleared in place
    }


def _require_decoder(syntax: str, path: Path) -> None:
    if error := missing_decoder(syntax, path):
        raise error


def missing_decoder(syntax: str, path: Path) -> DicomError | None:
    """What to say where the pixels of a transfer syntax UID cannot be decoded here; None where they can."""
    if syntax in UNCOMPRESSED:  # without loading pydicom
        return None
    name, packages = _missing(syntax)
    if not name:
        return None
    return DicomError(
        f"no decoder for its compression, {name} ({syntax})",
        where=path,
        hint=f"pip install {packages}" if packages else "Export the series uncompressed.",
    )


@cache
def _missing(syntax: str) -> tuple[str, str]:
    """Name of a transfer syntax and the packages that decode it; two empty strings where it can be decoded."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    uid = UID(syntax)
    try:
        if get_decoder(uid).is_available:
            return "", ""
    except NotImplementedError:
        pass
    return uid.name or "unnamed", next((of for name, of in _PACKAGES if uid.name.startswith(name)), "")
