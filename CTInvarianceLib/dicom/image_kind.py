"""What kind of image a CT object is: a slice as the scanner made it, or something computed from such slices."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache

AXIAL_WITHIN_DEGREES = 45
"""Largest angle between the normal of an axial slice and the patient's long axis. Gantries tilt by 30 at most."""

_RENDERED = re.compile(
    r"\bM(AX|IN)?_?IP\b|\bVRT\b|\bSSD\b|VOLREN|_RENDER|CURVED|PROJECTION IMAGE|SCREEN SAVE"
)
_MAPS = re.compile(r"PERFUSION|IODINE|_DENSITY|EFFECTIVE_Z|MATERIAL")


@lru_cache(maxsize=1024)
def kind_of_image(image_type: str, orientation: Sequence[float]) -> str:
    """What an image is, in words that name several of the kind; "" for axial slices.

    Args:
        image_type: ImageType in capitals.
        orientation: ImageOrientationPatient, a tuple; () where it is not known.
    """
    if "LOCALIZER" in image_type:
        return "localizers"
    if _RENDERED.search(image_type):
        return "projections of a volume (MIP) and renderings"
    if _MAPS.search(image_type):
        return "maps of materials or perfusion"
    return "" if is_axial(orientation) else "coronal, sagittal or oblique slices"


def is_axial(orientation: Sequence[float]) -> bool:
    """Whether slices lie across the patient's long axis; also where the direction cosines tell nothing."""
    if len(orientation) != 6:
        return True
    (ax, ay, az), (bx, by, bz) = orientation[:3], orientation[3:]
    normal = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return not abs(normal[2]) < math.cos(math.radians(AXIAL_WITHIN_DEGREES)) * math.hypot(*normal)
