"""Headers of MetaImage to write. Numbers are written by Python, which knows no locale with a decimal comma."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..volumes import CTVolume

_TYPES = {np.dtype(np.int16): "MET_SHORT", np.dtype(np.float32): "MET_FLOAT"}


def metaimage_header(geometry: CTVolume, kind: np.dtype[np.generic], packed: int) -> bytes:
    """The header of a .mha in LPS, little endian, up to where the zlib stream begins; as long for every `packed`.

    Args:
        geometry: shape and place.
        kind: of the values.
        packed: bytes of the stream.
    """

    def text(numbers: ArrayLike) -> str:
        return " ".join(map(repr, np.ravel(numbers).tolist()))

    lines = {
        "ObjectType": "Image",
        "NDims": 3,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": True,
        "CompressedDataSize": f"{packed:020d}",
        "TransformMatrix": text((geometry.affine[:3, :3] / geometry.spacing).T),
        "Offset": text(geometry.affine[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": text(geometry.spacing),
        "DimSize": text(geometry.shape[::-1]),
        "ElementType": _TYPES[kind],
        "ElementDataFile": "LOCAL",  # has to be the last
    }
    return "".join(f"{name} = {value}\n" for name, value in lines.items()).encode()
