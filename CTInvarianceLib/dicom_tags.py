"""What one DICOM file says about itself, as plain values."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DicomError

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")  # enhanced, legacy converted
UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
"""Transfer syntaxes whose pixels lie in the file as they are: implicit, explicit, and explicit big endian."""

_DICOMDIR = "1.2.840.10008.1.3.10"
_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_HEADER_BYTES = 65536  # most headers end before; one read of so many is faster than many small ones
_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "PatientID", "StudyInstanceUID",
    "SeriesInstanceUID", "StudyDescription", "SeriesDescription", "BodyPartExamined", "ConvolutionKernel",
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated",
    "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness", "SpacingBetweenSlices",
]  # fmt: skip


@dataclass(frozen=True)
class DicomHeader:
    """The tags that decide what a file is and where its slice lies; missing text is "", missing numbers are ().

    Attributes:
        path: the file.
        syntax: transfer syntax UID, how the pixels are compressed.
        instance_uid: SOPInstanceUID, the image's own.
        description: SeriesDescription.
        body_part: BodyPartExamined.
        kernel: ConvolutionKernel; several values joined by ", ".
        localizer: whether ImageType says so.
        colour: whether a pixel has several samples.
        size: Rows, Columns.
        spacing: PixelSpacing, mm: distance of rows, distance of columns.
        orientation: ImageOrientationPatient, direction cosines.
        position: ImagePositionPatient, mm, LPS.
        thickness: extent across the slice, mm: SliceThickness, else SpacingBetweenSlices, else 1.
        truncated: whether the file ends before its uncompressed pixels do.
    """

    path: Path
    modality: str = ""
    sop_class: str = ""
    syntax: str = ""
    instance_uid: str = ""
    patient_id: str = ""
    study_uid: str = ""
    series_uid: str = ""
    study_description: str = ""
    description: str = ""
    body_part: str = ""
    kernel: str = ""
    localizer: bool = False
    frames: int = 1
    colour: bool = False
    size: tuple[float, ...] = ()
    spacing: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    position: tuple[float, ...] = ()
    thickness: float = 1.0
    truncated: bool = False


def read_header(path: Path) -> DicomHeader | None:
    """The header of a DICOM file; None where the file is something else or only an index of others.

    Raises:
        DicomError: a file that starts like DICOM, or is named so, but cannot be read.
    """
    import pydicom

    try:
        dataset, pixels_at, length = _read_tags(path)
        stored_as = str(dataset.file_meta.get("MediaStorageSOPClassUID", ""))
        if stored_as == _DICOMDIR:
            return None
        header = header_of(path, dataset, room=length - pixels_at)
        whole = _whole(header, stored_as, dataset)
    except pydicom.errors.InvalidDicomError as error:
        if path.suffix.lower() not in _DICOM_SUFFIXES:
            return None
        raise DicomError(
            "not a DICOM file, though its name says so", where=path, hint="Copy or export it again."
        ) from error
    except OSError as error:
        raise DicomError(
            f"cannot be read ({error.strerror or error})",
            where=path,
            hint="Check the disk and its permissions.",
        ) from error
    except Exception as error:  # pydicom raises nearly everything on damaged bytes
        raise DicomError(
            "the DICOM header is truncated or damaged", where=path, hint=f"Copy or export it again ({error})."
        ) from error
    if not whole:
        raise DicomError("the DICOM header is truncated", where=path, hint="Copy or export it again.")
    return header


def header_of(path: Path, dataset: Any, *, room: int | None = None) -> DicomHeader:
    """The header out of a dataset that pydicom has read.

    Args:
        path: the file.
        dataset: of it.
        room: bytes of the file from the pixels on, to know whether they are all there; None: they are.
    """

    def text(tag: str) -> str:
        return str(dataset.get(tag) or "").strip()

    def numbers(tag: str) -> tuple[float, ...]:
        with contextlib.suppress(Exception):  # missing, or any of the ways in which pydicom dislikes damage
            value = dataset[tag].value
            return tuple(map(float, value)) if hasattr(value, "__iter__") else (float(value),)
        return ()

    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel") or 1)
    size = (*numbers("Rows"), *numbers("Columns"))
    kernel = dataset.get("ConvolutionKernel") or ""
    needed = frames * samples * (numbers("BitsAllocated") or (0,))[0] / 8
    for side in size:
        needed *= side
    return DicomHeader(
        path,
        modality=text("Modality").upper(),
        sop_class=text("SOPClassUID"),
        syntax=syntax,
        instance_uid=text("SOPInstanceUID"),
        patient_id=text("PatientID"),
        study_uid=text("StudyInstanceUID"),
        series_uid=text("SeriesInstanceUID"),
        study_description=text("StudyDescription"),
        description=text("SeriesDescription"),
        body_part=text("BodyPartExamined").upper(),
        kernel=kernel.strip() if isinstance(kernel, str) else ", ".join(map(str, kernel)),
        localizer="LOCALIZER" in text("ImageType").upper(),
        frames=frames,
        colour=samples != 1
        or not (text("PhotometricInterpretation") or "MONOCHROME").startswith("MONOCHROME"),
        size=size,
        spacing=numbers("PixelSpacing"),
        orientation=numbers("ImageOrientationPatient"),
        position=numbers("ImagePositionPatient"),
        thickness=_thickness(numbers("SliceThickness"), numbers("SpacingBetweenSlices")),
        truncated=room is not None and syntax in UNCOMPRESSED and room < needed,
    )


def _thickness(*candidates: tuple[float, ...]) -> float:
    for values in candidates:
        if len(values) == 1 and 0 < abs(values[0]) < float("inf"):
            return abs(values[0])
    return 1.0


def _read_tags(path: Path) -> tuple[Any, int, int]:
    """The dataset of a file up to its pixels, where they begin, and how long the file is, in bytes."""
    from pydicom import dcmread

    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
        length = file.seek(0, io.SEEK_END)
        if length > len(start):
            with contextlib.suppress(Exception):
                buffer = io.BytesIO(start)
                dataset = dcmread(buffer, stop_before_pixels=True, specific_tags=list(_TAGS))
                # At the end of the buffer the header goes on behind it, or an element was cut.
                if buffer.tell() < len(start):
                    return dataset, buffer.tell(), length
        file.seek(0)
        dataset = dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
        return dataset, file.tell(), length


def _whole(header: DicomHeader, stored_as: str, dataset: Any) -> bool:
    """Whether the header of a possible CT slice reaches Rows; pydicom reads a cut one without complaint."""
    if CT_IMAGE_STORAGE in (stored_as, header.sop_class) or not header.sop_class:
        return bool(header.modality) and "Rows" in dataset
    return True
