"""Which packages decode which compressed DICOM pixels."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .dicom_tags import UNCOMPRESSED
from .errors import DicomError

_PACKAGES = (
    ("JPEG 2000", "pylibjpeg pylibjpeg-openjpeg"),
    ("High-Throughput JPEG 2000", "pylibjpeg pylibjpeg-openjpeg"),
    ("JPEG-LS", "pyjpegls"),
    ("JPEG", "pylibjpeg pylibjpeg-libjpeg"),
)


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
