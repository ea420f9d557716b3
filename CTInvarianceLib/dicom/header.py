"""What one DICOM file says about itself, as plain values."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base import DicomError, unreadable
from .elements import BIG_ENDIAN, DEFLATED, IMPLICIT, quietly, read_tags, texts_of, values_of

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")  # enhanced, legacy converted
_EXPLICIT = "1.2.840.10008.1.2.1"
UNCOMPRESSED = (IMPLICIT, _EXPLICIT, BIG_ENDIAN)
"""Transfer syntaxes whose pixels lie in the file as they are: implicit, explicit, and explicit big endian."""

_DICOMDIR = "1.2.840.10008.1.3.10"
_META_AT_MOST = 1024  # bytes in which the file meta information of a DICOMDIR ends
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "PatientID", "PatientName", "StudyInstanceUID",
    "SeriesInstanceUID", "StudyDescription", "SeriesDescription", "BodyPartExamined", "ConvolutionKernel",
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated",
    "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "SpacingBetweenSlices",
    "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "PixelPaddingValue", "PixelPaddingRangeLimit",
]  # fmt: skip


@dataclass(frozen=True)
class DicomHeader:
    """The tags that decide what a file is and where its slice lies; missing text is "", missing numbers are ().

    Attributes:
        path: the file.
        syntax: transfer syntax UID, how the pixels are compressed; of a file that lacks it, how its tags are encoded.
        instance_uid: SOPInstanceUID, the image's own.
        description: SeriesDescription.
        body_part: BodyPartExamined.
        kernel: ConvolutionKernel; several values joined by ", ".
        patient_name: PatientName, as it is stored.
        image_type: ImageType in capitals, its values joined by a backslash.
        colour: whether a pixel has several samples.
        size: Rows, Columns.
        spacing: PixelSpacing, mm: distance of rows, distance of columns.
        orientation: ImageOrientationPatient, direction cosines.
        position: ImagePositionPatient, mm, LPS.
        thickness: extent across the slice, mm: SliceThickness, else SpacingBetweenSlices, else 1.
        truncated: whether the file ends before its pixels do; of compressed ones, before they begin.
        pixels_at: byte of the file at which the element of the pixels begins; 0 where that is not known.
        bits: BitsAllocated, BitsStored.
        high_bit: HighBit, the highest bit of a stored value; -1 where it does not say.
        signed: PixelRepresentation, whether stored values have a sign; None where it does not say.
        rescale: RescaleSlope, RescaleIntercept: HU = slope · stored + intercept.
        unit: RescaleType, what the rescaled values are.
        padding: PixelPaddingValue and, where there is one, PixelPaddingRangeLimit.
    """

    path: Path
    modality: str = ""
    sop_class: str = ""
    syntax: str = ""
    instance_uid: str = ""
    patient_id: str = ""
    patient_name: str = ""
    study_uid: str = ""
    series_uid: str = ""
    study_description: str = ""
    description: str = ""
    body_part: str = ""
    kernel: str = ""
    image_type: str = ""
    frames: int = 1
    colour: bool = False
    size: tuple[float, ...] = ()
    spacing: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    position: tuple[float, ...] = ()
    thickness: float = 1.0
    truncated: bool = False
    pixels_at: int = 0
    bits: tuple[float, ...] = ()
    high_bit: int = -1
    signed: bool | None = None
    rescale: tuple[float, ...] = ()
    unit: str = ""
    padding: tuple[float, ...] = ()

    @property
    def localizer(self) -> bool:
        """Whether ImageType says so."""
        return "LOCALIZER" in self.image_type


def read_header(path: Path) -> DicomHeader | None:
    """The header of a DICOM file; None where the file is something else or only an index of others.

    Raises:
        DicomError: a file that starts like DICOM, or is named so, but cannot be read.
    """
    from pydicom.errors import InvalidDicomError

    try:
        dataset, pixels_at, length = read_tags(path, _TAGS)
        with quietly():
            if _stored_as(dataset) == _DICOMDIR:
                return None
            header = header_of(path, dataset, pixels_at=pixels_at, room=length - pixels_at)
            whole = _whole(header, dataset)
    except InvalidDicomError as error:
        if path.suffix.lower() not in DICOM_SUFFIXES:
            return None
        raise DicomError(
            "not a DICOM file, though its name says so", where=path, hint="Copy or export it again."
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # pydicom raises nearly everything on damaged bytes
        raise DicomError(
            "the DICOM header is truncated or damaged", where=path, hint=f"Copy or export it again ({error})."
        ) from error
    if not whole:
        raise DicomError("the DICOM header is truncated", where=path, hint="Copy or export it again.")
    if "TransferSyntaxUID" not in dataset.file_meta and _encapsulated(path, pixels_at):
        raise DicomError(
            "its pixels are compressed, and no TransferSyntaxUID says how",
            where=path,
            hint="Export it again.",
        )
    return header


def _encapsulated(path: Path, pixels_at: int) -> bool:
    """Whether the element of the pixels has no length, as that of compressed ones. Source: PS3.5, A.4."""
    with path.open("rb") as file:
        file.seek(pixels_at)
        element = file.read(12)
    return b"\xff\xff\xff\xff" in (element[4:8], element[8:12])  # implicit, explicit


def is_index(path: Path) -> bool:
    """Whether a file is a DICOMDIR, whatever its name: an index of the files on a disc, without images."""
    try:
        with path.open("rb") as file:
            start = file.read(_META_AT_MOST)
    except OSError:
        return False
    return start[128:132] == b"DICM" and re.search(rf"{_DICOMDIR}(?![.\d])".encode(), start) is not None


def _cut(syntax: str, room: int, needed: float) -> bool:
    """Whether so many bytes, from the element of the pixels on, cannot hold what they need uncompressed."""
    if syntax in UNCOMPRESSED:
        return room < needed + _element_bytes(syntax)
    return room == 0 and syntax != DEFLATED


def _element_bytes(syntax: str) -> int:
    """Bytes of an element before its value: tag and length, and if it is explicit the type. Source: PS3.5, 7.1."""
    return 8 if syntax == UNCOMPRESSED[0] else 12


def header_of(path: Path, dataset: Any, *, pixels_at: int = 0, room: int | None = None) -> DicomHeader:
    """The header out of a dataset that pydicom has read.

    Args:
        path: the file.
        dataset: of it.
        pixels_at: the byte of the file at which its pixels begin, where that is known.
        room: bytes of the file from the element of the pixels on, to know whether they are all there; None: they are.
    """

    def text(keyword: str, join: str = "\\") -> str:
        return join.join(texts_of(dataset, keyword))

    def numbers(keyword: str) -> tuple[float, ...]:
        return _floats(texts_of, dataset, keyword)

    def binary(keyword: str) -> tuple[float, ...]:
        return _floats(values_of, dataset, keyword)

    syntax = _syntax(dataset)
    frames, samples = max(1, int(text("NumberOfFrames") or 1)), int((binary("SamplesPerPixel") or (1,))[0])
    size = (*binary("Rows"), *binary("Columns"))
    bits = (*binary("BitsAllocated"), *binary("BitsStored"))
    needed = frames * samples * math.prod(size) * (bits or (0,))[0] / 8
    representation, padding = binary("PixelRepresentation"), binary("PixelPaddingValue")
    return DicomHeader(
        path,
        modality=text("Modality").upper(),
        sop_class=text("SOPClassUID"),
        syntax=syntax,
        instance_uid=text("SOPInstanceUID"),
        patient_id=text("PatientID"),
        patient_name=text("PatientName"),
        study_uid=text("StudyInstanceUID"),
        series_uid=text("SeriesInstanceUID"),
        study_description=text("StudyDescription"),
        description=text("SeriesDescription"),
        body_part=text("BodyPartExamined").upper(),
        kernel=text("ConvolutionKernel", ", "),
        image_type=text("ImageType").upper(),
        frames=frames,
        colour=samples != 1
        or not (text("PhotometricInterpretation") or "MONOCHROME").startswith("MONOCHROME"),
        size=size,
        spacing=numbers("PixelSpacing"),
        orientation=numbers("ImageOrientationPatient"),
        position=numbers("ImagePositionPatient"),
        thickness=_thickness(numbers("SliceThickness"), numbers("SpacingBetweenSlices")),
        truncated=room is not None and _cut(syntax, room, needed),
        pixels_at=0 if syntax == DEFLATED or room == 0 else pixels_at,
        bits=bits,
        high_bit=int((binary("HighBit") or (-1,))[0]),
        signed=bool(representation[0]) if representation else None,
        rescale=(*numbers("RescaleSlope"), *numbers("RescaleIntercept")),
        unit=text("RescaleType").upper(),
        padding=padding and (*padding, *binary("PixelPaddingRangeLimit")),
    )


def _syntax(dataset: Any) -> str:
    """The transfer syntax; where the file names none, the one that its tags were found to be encoded in."""
    named = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    implicit, little = getattr(dataset, "original_encoding", (None, None))
    return named or (IMPLICIT if implicit else _EXPLICIT if little else BIG_ENDIAN)


def _floats(read: Callable[[Any, str], list[Any]], dataset: Any, keyword: str) -> tuple[float, ...]:
    """The numbers of a tag; () where it is missing, or damaged in any of the ways that pydicom dislikes."""
    with contextlib.suppress(Exception):
        return tuple(map(float, read(dataset, keyword)))
    return ()


def _thickness(*candidates: tuple[float, ...]) -> float:
    for values in candidates:
        if len(values) == 1 and 0 < abs(values[0]) < float("inf"):
            return abs(values[0])
    return 1.0


def _whole(header: DicomHeader, dataset: Any) -> bool:
    """Whether the header of a possible CT slice reaches Rows; pydicom reads a cut one without complaint."""
    if CT_IMAGE_STORAGE in (_stored_as(dataset), header.sop_class) or not header.sop_class:
        return bool(header.modality) and "Rows" in dataset
    return True


def _stored_as(dataset: Any) -> str:
    return str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
