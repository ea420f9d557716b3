"""DICOM files to one CT volume: which files, which series, in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ..base import DicomError, Progress, part, unheard
from ..volumes import CTVolume, warn_of_values
from .geometry import slice_plane, stack
from .header import MULTI_FRAME_CT, DicomHeader, is_index, read_header
from .hounsfield import hounsfield
from .same_series import split_series, what_differs


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
    groups: dict[str, list[list[DicomHeader]]] = {}
    for group in split_series(slices):
        groups.setdefault(group[0].series_uid, []).append(group)
    listing = "; ".join(
        f"{uid} ({several[0][0].description or 'no description'}, {sum(map(len, several))} slices)"
        for uid, several in groups.items()
    )
    if series is None and len(groups) > 1:
        raise DicomError(
            f"{len(groups)} series are mixed", where=where, hint=f"Choose one with series=UID: {listing}"
        )
    if series is not None and series not in groups:
        raise DicomError(f"there is no CT series {series}", where=where, hint=f"There is {listing}")
    chosen = groups[next(iter(groups)) if series is None else series]
    if len(chosen) > 1:
        raise _one_uid(chosen, where)
    return chosen[0]


def _one_uid(groups: list[list[DicomHeader]], where: object) -> DicomError:
    """The error for series that share a UID: they are as little one volume as any two others."""
    first = ", ".join(f"{len(group)} slices from {group[0].path.name}" for group in groups)
    return DicomError(
        f"{len(groups)} series share the UID {groups[0][0].series_uid or '(none)'} and have {what_differs(groups)}",
        where=where,
        hint=f"Give the files of one as a list ({first}), or put each into a folder of its own.",
    )


def _nothing(files: Sequence[Path], headers: Iterable[DicomHeader], where: object) -> DicomError:
    """The error that says what was found instead of CT slices."""
    found = Counter("CT localizer" if header.modality == "CT" else header.modality for header in headers)
    if found:
        listing = ", ".join(f"{n} {modality or 'of unnamed modality'}" for modality, n in found.items())
        return DicomError(f"no CT images, only {listing}", where=where, hint="Choose a CT series.")
    if any(is_index(path) for path in files):
        return DicomError(
            "a DICOMDIR, which lists the images of a disc and holds none",
            where=where,
            hint="Give its folder instead.",
        )
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
