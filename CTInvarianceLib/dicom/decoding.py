"""DICOM pixels as they are stored: out of the file, through the decoder of their compression."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..base import DicomError
from .elements import pixel_element, quietly, read_all
from .header import UNCOMPRESSED, DicomHeader

_RLE = "1.2.840.10008.1.2.5"
_RLE_AT_MOST = 64  # two bytes stand for up to 128
_PACKAGES = (
    ("JPEG 2000", "pylibjpeg pylibjpeg-openjpeg"),
    ("High-Throughput JPEG 2000", "pylibjpeg pylibjpeg-openjpeg"),
    ("JPEG-LS", "pyjpegls"),
    ("JPEG", "pylibjpeg pylibjpeg-libjpeg"),
)


def stored_values(header: DicomHeader) -> NDArray[Any]:
    """Stored values of one grey-value frame, by pydicom's decoders.

    The header is not read again where it says all that is needed.

    Raises:
        DicomError: no decoder for their compression.
        Exception: nearly everything, on damaged bytes.
    """
    from pydicom.pixels import get_decoder

    if header.pixels_at and len(header.size) == len(header.bits) == 2 and header.signed is not None:
        element = pixel_element(header.path, header.pixels_at, header.syntax)
        if element is not None and isinstance(element.value, bytes):
            _require_decoder(header.syntax, header.path)
            _require_plausible(header, len(element.value))
            with quietly():
                array, _ = get_decoder(header.syntax).as_array(element.value, **_options(header, element.VR))
            return array
    dataset = read_all(header.path)
    _require_decoder(str(dataset.file_meta.TransferSyntaxUID), header.path)
    with quietly():
        return dataset.pixel_array


def _options(header: DicomHeader, vr: str) -> dict[str, Any]:
    """What pydicom's decoders want to know; grey values of one frame, which the caller has made sure of."""
    (rows, columns), (allocated, stored) = map(int, header.size), map(int, header.bits)
    return {
        "rows": rows,
        "columns": columns,
        "bits_allocated": allocated,
        "bits_stored": stored,
        "pixel_representation": int(bool(header.signed)),
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_keyword": "PixelData",
        "pixel_vr": vr,
        "view_only": allocated == stored,  # otherwise pydicom clears the unused bits, in place
    }


def _require_plausible(header: DicomHeader, length: int) -> None:
    """Raises ValueError where a damaged size would have gigabytes allocated: RLE decoders trust it."""
    needed = header.size[0] * header.size[1] * header.bits[0] / 8
    if header.syntax == _RLE and needed > _RLE_AT_MOST * length:
        raise ValueError(f"{length} bytes cannot hold {header.size[0]:g} x {header.size[1]:g} pixels")


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
