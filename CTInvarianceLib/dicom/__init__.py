"""One DICOM file or series: tags, pixels and geometry, in and out."""

from .attributes import SeriesHeader, dicom_uid
from .decoding import missing_decoder
from .geometry import ALIKE, slice_plane
from .header import CT_IMAGE_STORAGE, DICOM_SUFFIXES, MULTI_FRAME_CT, DicomHeader, read_header
from .hounsfield import why_not_hounsfield
from .image_kind import kind_of_image
from .reading import read_dicom, read_slices
from .same_series import split_series, what_differs
from .slice_order import order_slices
from .writing import slice_names, write_dicom_series

__all__ = [
    "ALIKE",
    "CT_IMAGE_STORAGE",
    "DICOM_SUFFIXES",
    "MULTI_FRAME_CT",
    "DicomHeader",
    "SeriesHeader",
    "dicom_uid",
    "kind_of_image",
    "missing_decoder",
    "order_slices",
    "read_dicom",
    "read_header",
    "read_slices",
    "slice_names",
    "slice_plane",
    "split_series",
    "what_differs",
    "why_not_hounsfield",
    "write_dicom_series",
]
