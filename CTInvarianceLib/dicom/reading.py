"""DICOM files to one CT volume: which files, which series, in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..base import DicomError, Progress, part, unheard
from ..volumes import CTVolume, warn_of_values
from .geometry import slice_plane, stack
from .header import MULTI_FRAME_CT, DicomHeader, read_header
from .hounsfield import hounsfield


def read_dicom(
    files: Sequence[Path], *, where: object, series: str | None = None, progress: Progress = unheard
) -> CTVolume:
    """One CT series as a volume, slices in ascending order along their normal.

    Args:
        files: candidates; those that are no DICOM, of another modality or localizers are passed over.
        where: what to call them in messages: the folder or the file that was asked for.
        series: SeriesInstanceUID, needed where the files belong to several series.
        progress: hears of every file.

    Raises:
        DicomError: no CT image, several series, damaged or unsupported files, no common geometry.

    Warns:
        GeometryWarning: as `geometry.stack`.
        HounsfieldWarning: values that are hardly HU.
    """
    headers = _one_series(files, series, where, part(progress, 0, 0.5))
    return read_slices(headers, where, progress=part(progress, 0.5, 1))


def read_slices(headers: Sequence[DicomHeader], where: object, *, progress: Progress = unheard) -> CTVolume:
    """The slices of one series, whose headers are known and still hold, as a volume.

    Only the pixels are read, one slice after the other: no more memory than the volume and a slice.

    Raises:
        DicomError: damaged or unsupported files, no common geometry.

    Warns:
        GeometryWarning: as `geometry.stack`.
        HounsfieldWarning: values that are hardly HU.
    """
    for header in headers:
        _require_supported(header)
    planes, affine = stack([slice_plane(header) for header in headers], where)
    by_path = {header.path: header for header in headers}
    volume = np.empty((0, 0, 0), np.int16)
    for k, plane in enumerate(planes):
        image = hounsfield(by_path[plane.path])
        if k == 0:
            # After the first slice was decoded: a damaged size allocates nothing.
            volume = np.empty((len(planes), *image.shape), image.dtype)
        elif image.dtype != volume.dtype and volume.dtype == np.int16:
            volume = volume.astype(np.float32)
        if image.shape != volume.shape[1:]:
            raise DicomError(f"pixels of shape {image.shape}, not {plane.shape}", where=plane.path)
        volume[k] = image
        progress((k + 1) / len(planes))
    read = CTVolume(volume, affine, str(where))
    warn_of_values(read)
    return read


def _one_series(
    files: Sequence[Path], series: str | None, where: object, progress: Progress = unheard
) -> list[DicomHeader]:
    """The CT slices among `files` that belong to the series asked for, or to the only one."""
    headers = []
    for k, path in enumerate(files):
        if header := read_header(path):
            headers.append(header)
        progress((k + 1) / len(files))
    slices = [header for header in headers if header.modality == "CT" and not header.localizer]
    if not slices:
        raise _nothing(files, headers, where)
    names = {header.series_uid: header.description for header in slices}
    counts = Counter(header.series_uid for header in slices)
    listing = "; ".join(f"{uid} ({names[uid] or 'no description'}, {n} slices)" for uid, n in counts.items())
    if series is None and len(counts) > 1:
        raise DicomError(
            f"{len(counts)} series are mixed", where=where, hint=f"Choose one with series=UID: {listing}"
        )
    if series is not None and series not in counts:
        raise DicomError(f"there is no CT series {series}", where=where, hint=f"There is {listing}")
    return [header for header in slices if series in (None, header.series_uid)]


def _nothing(files: Sequence[Path], headers: Iterable[DicomHeader], where: object) -> DicomError:
    """The error that says what was found instead of CT slices."""
    found = Counter("CT localizer" if header.modality == "CT" else header.modality for header in headers)
    if found:
        listing = ", ".join(f"{n} {modality or 'of unnamed modality'}" for modality, n in found.items())
        return DicomError(f"no CT images, only {listing}", where=where, hint="Choose a CT series.")
    if not files:
        return DicomError("there are no files", where=where, hint="Choose the folder of a CT series.")
    kinds = Counter(path.suffix or "no suffix" for path in files)
    listing = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(5))
    return DicomError(
        f"no DICOM files among {len(files)} files ({listing})",
        where=where,
        hint="Choose the folder of a CT series, or one volume file (.nrrd .nii .nii.gz .mha).",
    )


def _require_supported(header: DicomHeader) -> None:
    if header.colour:
        raise DicomError(
            "a colour image, not CT", where=header.path, hint="Choose a series of grey-value slices in HU."
        )
    if header.frames > 1 or header.sop_class in MULTI_FRAME_CT:
        raise DicomError(
            "multi-frame (enhanced) DICOM is not supported yet",
            where=header.path,
            hint="Load it in 3D Slicer and save it as .nrrd, or export single-frame slices.",
        )
