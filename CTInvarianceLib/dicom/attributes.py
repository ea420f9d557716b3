"""What a DICOM file of a CT slice says beside its pixels and their place: all attributes of type 1 and 2.

Which those are: DICOM PS3.3, A.3.3 (CT Image IOD) and the modules named below.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from .. import __version__
from .header import CT_IMAGE_STORAGE

INTERCEPT_HU = -1024
"""HU of the stored value 0, as scanners have it: HU = stored - 1024. Stored values are signed, since the noise of
few photons goes below that."""

LIMITS_HU = (-(2**15) + INTERCEPT_HU, 2**15 - 1 + INTERCEPT_HU)
"""HU of the lowest and the highest stored value."""

_UIDS = uuid.UUID("2f4fc2e0-4947-4ac8-97a8-c0c65a57f00d")  # any fixed one: what our UIDs are hashed with


def dicom_uid(*names: object) -> str:
    """The same UID for the same names, another one for others: 2.25 and a name-based UUID (PS3.5, B.2)."""
    return f"2.25.{uuid.uuid5(_UIDS, '/'.join(map(str, names))).int}"


@dataclass(frozen=True)
class SeriesHeader:
    """What a series says of itself beside its pixels and their place.

    Args:
        patient: PatientID.
        study: StudyInstanceUID.
        frame_of_reference: FrameOfReferenceUID; series that share it lie in one space.
        series: SeriesInstanceUID; the UIDs of the slices follow from it.
        number: SeriesNumber.
        description: SeriesDescription.
        derivation: how the pixels came about, for DerivationDescription.
        deidentification: why nobody can be recognised, for DeidentificationMethod, at most 64 characters.
        name: PatientName as Family^Given; the PatientID where it is empty.
        study_description: StudyDescription.
        body_part: BodyPartExamined, such as CHEST.
        kernel: ConvolutionKernel.
        kvp: tube voltage, kV.
        window: WindowCenter and WindowWidth, HU.
        date: of study, series and image, YYYYMMDD: given rather than today, so that files can be made again.
        phantom: whether the subject is a phantom and not a patient, for QualityControlSubject.
    """

    patient: str
    study: str
    frame_of_reference: str
    series: str
    number: int
    description: str
    derivation: str
    deidentification: str
    name: str = ""
    study_description: str = ""
    body_part: str = ""
    kernel: str = ""
    kvp: float = 120.0
    window: tuple[float, float] = (40.0, 400.0)
    date: str = "20260101"
    phantom: bool = False


def about(header: SeriesHeader) -> dict[str, Any]:
    """Patient, study, series, frame of reference, equipment, and what is common to all images.

    Sources: PS3.3, C.7.1.1, C.7.2.1, C.7.3.1, C.7.4.1, C.7.5.1, C.7.6.1, C.8.2.1, C.11.2, C.12.1.
    """
    # Secondary: no examination of a patient made it (C.7.6.1.1.2). Slicer and ITK load it like primary images.
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["DERIVED", "SECONDARY", "AXIAL"],
        "SOPClassUID": CT_IMAGE_STORAGE,
        **{f"{of}Date": header.date for of in ("Study", "Series", "Acquisition", "Content")},
        **{f"{of}Time": "120000" for of in ("Study", "Series", "Acquisition", "Content")},
        "AccessionNumber": "",
        "Modality": "CT",
        "Manufacturer": "CTInvariance",
        "ManufacturerModelName": "CTInvarianceLib",
        "SoftwareVersions": __version__,
        "ReferringPhysicianName": "",
        "StudyDescription": header.study_description,
        "SeriesDescription": header.description,
        "DerivationDescription": header.derivation,
        "PatientName": header.name or header.patient,
        "PatientID": header.patient,
        "PatientBirthDate": "",
        "PatientSex": "",
        "QualityControlSubject": "YES" if header.phantom else "NO",
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethod": header.deidentification,
        "BodyPartExamined": header.body_part,
        "KVP": header.kvp,
        "ConvolutionKernel": header.kernel,
        "PatientPosition": "HFS",
        "StudyInstanceUID": header.study,
        "SeriesInstanceUID": header.series,
        "FrameOfReferenceUID": header.frame_of_reference,
        "PositionReferenceIndicator": "",
        "StudyID": "1",
        "SeriesNumber": header.number,
        "AcquisitionNumber": 1,
        "BurnedInAnnotation": "NO",
        "WindowCenter": header.window[0],
        "WindowWidth": header.window[1],
    }


def pixel_format(shape: tuple[int, int, int]) -> dict[str, Any]:
    """Image pixel and rescale to HU. Sources: PS3.3, C.7.6.3 and C.11.1."""
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": shape[1],
        "Columns": shape[2],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleIntercept": INTERCEPT_HU,
        "RescaleSlope": 1,
        "RescaleType": "HU",
    }
