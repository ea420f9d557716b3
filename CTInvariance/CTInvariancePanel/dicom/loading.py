"""A series of Slicer's DICOM database becomes a volume of the scene, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import DicomError

_UID = "DICOM"  # under this name the subject hierarchy keeps SeriesInstanceUIDs
_CLASS = "vtkMRMLScalarVolumeNode"


def whyEmpty(db: Any) -> str:
    """Why there is nothing to list, and what to do about it; "" where there is something."""
    if db is None or not db.isOpen:
        return _("Slicer's DICOM database is not open. Open the DICOM module once, and choose its folder.")
    if not db.patients():
        return _("Slicer's DICOM database is empty. Import a folder with CT images in the DICOM module.")
    return ""


def missingFiles(db: Any, uid: str) -> list[Path]:
    """Files of a series that the database names and that are gone."""
    return [Path(file) for file in db.filesForSeries(uid) if not Path(file).is_file()]


def seriesOf(volumeNode: Any) -> str:
    """SeriesInstanceUID of a volume that was loaded from DICOM, by whomever; "" for clones and for all others."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volumeNode.GetScene())
    item = hierarchy.GetItemByDataNode(volumeNode) if hierarchy is not None else 0
    return (hierarchy.GetItemUID(item, _UID) if item else "") or ""


def loadedSeries(uid: str) -> Any:
    """The scalar volume node of a series that is in the scene already; None where there is none."""
    volumes = slicer.util.getNodesByClass(_CLASS)
    return next(
        (
            node
            for node in volumes
            if node.GetClassName() == _CLASS and node.GetImageData() and seriesOf(node) == uid
        ),
        None,
    )


def loadSeries(uid: str, db: Any = None) -> Any:
    """The scalar volume node of a series, loaded into the scene where it is not there yet.

    Raises:
        DicomError: files are gone, or Slicer makes no volume of them.
    """
    if (loaded := loadedSeries(uid)) is not None:
        return loaded
    db = getattr(slicer, "dicomDatabase", None) if db is None else db
    if db is None or not db.isOpen:
        raise DicomError(whyEmpty(db).partition(". ")[0], where=uid)
    if gone := missingFiles(db, uid):
        total = len(db.filesForSeries(uid))
        raise DicomError(
            _("{} of {} files of the series are gone").format(len(gone), total),
            where=gone[0],
            hint=_("Bring the folder or drive back, or import the series again."),
        )
    from DICOMLib import DICOMUtils  # only inside Slicer

    # Missing or uneven slices put a grid transform above the volume: two ids, in no certain order.
    nodes = [slicer.mrmlScene.GetNodeByID(node) for node in DICOMUtils.loadSeriesByUID([uid])]
    for node in nodes:
        if node is not None and node.GetClassName() == _CLASS:
            return node
    raise DicomError(
        _("Slicer makes no volume of this series"),
        where=db.descriptionForSeries(uid) or uid,
        hint=_("Look at it in the DICOM module (Examine, with Advanced switched on)."),
    )
