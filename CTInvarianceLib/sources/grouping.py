"""Headers of DICOM files put together to CT series, and what is wrong with those that cannot be."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..base import DicomError
from ..dicom import (
    CT_IMAGE_STORAGE,
    MULTI_FRAME_CT,
    DicomHeader,
    kind_of_image,
    missing_decoder,
    order_slices,
    slice_plane,
    split_series,
    what_differs,
    why_not_hounsfield,
)
from .identity import Labels, file_label, folders_of
from .series import CTSeries, Problem, anatomy_of, is_projections

_NOWHERE = Path()
_APART = "They are kept apart. Export them again from the scanner or archive, with UIDs of their own."


def why_left_out(header: DicomHeader) -> str:
    """Why an image is none to look at, though nothing is wrong with it; "" for CT slices and what should be some."""
    if header.modality != "CT":
        return f"{header.modality or 'no modality'}, not CT"
    if kind := kind_of_image(header.image_type, header.orientation):
        return kind
    if is_projections(header.description):
        return "projections"
    if header.sop_class not in ("", CT_IMAGE_STORAGE, *MULTI_FRAME_CT):
        return "secondary captures and other objects"
    return ""


def series_of(
    headers: Iterable[DicomHeader], common: Path = _NOWHERE
) -> tuple[list[CTSeries], list[Problem]]:
    """CT slices grouped to series, each in the order of its slices; and what had to be left out, or is unusual.

    What a series is, `dicom.split_series` says. Copies of an image count once.

    Args:
        headers: of CT slices.
        common: the folder of all that was scanned: those below may tell dose and patient, those above do not.
    """
    problems: list[Problem] = []
    usable: list[DicomHeader] = []
    in_hu: set[tuple[object, ...]] = set()
    seen: dict[tuple[object, ...], Path] = {}
    for header in headers:
        identity = (header.instance_uid, header.series_uid, header.patient_id, header.position, header.size)
        if problem := _unusable(header, seen.get(identity) if header.instance_uid else None):
            problems.append(problem)
            continue
        if (scale := (header.rescale, header.unit)) not in in_hu:  # of few kinds among thousands of slices
            if error := why_not_hounsfield(header):
                problems.append(Problem.of(error))
                continue
            in_hu.add(scale)
        seen[identity] = header.path
        usable.append(header)
    several = split_series(usable)
    problems += _shared_uids(several)
    found = []
    for group in several:
        series, unusual = _series(group, common)
        problems += unusual
        if series:
            found.append(series)
    return found, problems


def _unusable(header: DicomHeader, original: Path | None) -> Problem | None:
    """Why a file that should be a CT slice is none."""
    if original:
        what = "a copy of an image that is used already; left out"
        return Problem(str(header.path), what, f"Remove it; the other is {original}.")
    if header.frames > 1 or header.sop_class in MULTI_FRAME_CT:
        return Problem(
            str(header.path),
            "multi-frame (enhanced) DICOM is not supported yet",
            "Load it in 3D Slicer and save it as .nrrd, or export single-frame slices.",
        )
    if header.colour:
        return Problem(str(header.path), "a colour image, not CT")
    if header.truncated:
        return Problem(str(header.path), "the file ends before its pixels do", "Copy or export it again.")
    if error := missing_decoder(header.syntax, header.path):
        return Problem.of(error)
    return None


def _shared_uids(groups: Iterable[list[DicomHeader]]) -> list[Problem]:
    """Series that share a UID and are different series all the same."""
    sharing: dict[str, list[list[DicomHeader]]] = {}
    for headers in groups:
        if uid := headers[0].series_uid:
            sharing.setdefault(uid, []).append(headers)
    problems = []
    for uid, several in sharing.items():
        if len(several) > 1:
            first = ", ".join(str(headers[0].path) for headers in several)
            what = f"{len(several)} different series share this UID ({first}), with {what_differs(several)}"
            problems.append(Problem(f"series {uid}", what, _APART))
    return problems


def _series(headers: list[DicomHeader], common: Path) -> tuple[CTSeries | None, list[Problem]]:
    """One group as a series, None where its slices form no stack."""
    placed, problems = _placed(headers)
    if not placed:
        return None, problems
    first = placed[0]
    where = f"patient {first.patient_id}, series {first.series_uid or first.path.parent}"
    try:
        plane = slice_plane(first)
        positions = np.array([header.position for header in placed])
        order, findings = order_slices(positions, plane.normal, [header.path for header in placed])
    except DicomError as error:
        return None, [*problems, Problem(f"{where} ({error.where})", f"{error.what}; left out", error.hint)]
    problems += [Problem(where, finding) for finding in findings]
    ordered = tuple(placed[index] for index in order)
    step = plane.thickness
    if len(ordered) > 1:
        step = math.dist(ordered[0].position, ordered[-1].position) / (len(ordered) - 1)
    labels = Labels(
        first.patient_id,
        first.patient_name,
        first.study_uid or str(first.path.parent),
        first.study_description,
        first.description,
        file_label(first.path.name),
        folders_of(first.path.parent, common),
    )
    series = CTSeries(
        labels.owner,
        first.series_uid,
        first.description,
        tuple(header.path for header in ordered),
        first.study_uid,
        anatomy_of(labels.patient, first.body_part, first.study_description, first.description),
        first.kernel or labels.kernel,
        (len(ordered), *plane.shape),
        (*plane.pixel.tolist(), round(step, 6)),
        ordered,
        dose=labels.dose,
        person=labels.person,
        known=bool(labels.patient),
    )
    return series, problems


def _placed(headers: list[DicomHeader]) -> tuple[list[DicomHeader], list[Problem]]:
    """The slices that say where they lie, and what is wrong with the others."""
    placed, problems = [], []
    for header in headers:
        if len(header.position) == 3 and all(map(math.isfinite, header.position)):
            placed.append(header)
            continue
        try:
            slice_plane(header)
        except DicomError as error:
            problems.append(Problem.of(error))
    return placed, problems
