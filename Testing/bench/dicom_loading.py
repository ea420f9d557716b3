"""`DICOMLib.DICOMUtils`, as far as the panel uses it: series become volumes through ITK's real reader."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import slicer
import vtk
from pydicom import dcmread

DICOM_ATTRIBUTES = ("PatientID", "StudyInstanceUID")


def load_series(uids: list[str]) -> list[str]:
    """Load series of `slicer.dicomDatabase`, filed under patient and study; ids of their nodes."""
    return [_load(uid) for uid in uids if slicer.dicomDatabase.filesForSeries(uid)]


def _load(uid: str) -> str:
    headers = {
        file: dcmread(file, stop_before_pixels=True) for file in slicer.dicomDatabase.filesForSeries(uid)
    }
    files = sorted(
        headers, key=lambda file: _height(headers[file])
    )  # the database has them in order of import
    names = vtk.vtkStringArray()
    for file in files:
        names.InsertNextValue(file)
    first = headers[files[0]]
    title = f"{first.get('SeriesNumber') or ''}: {first.get('SeriesDescription') or 'series'}".strip(": ")
    node = slicer.modules.volumes.logic().AddArchetypeScalarVolume(files[0], title, 0, names)
    node.SetAttribute("DICOM.instanceUIDs", " ".join(headers[file].SOPInstanceUID for file in files))
    _file(node, first)
    return node.GetID()


def _height(header) -> float:
    row, column = np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float)
    return float(np.cross(row, column) @ np.asarray(header.ImagePositionPatient, float))


def _file(node, header) -> None:
    """Under its study, under its patient: items with these uids, made where there are none yet."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parent = hierarchy.GetSceneItemID()
    for level, uid, name in (
        ("Patient", header.PatientID, header.PatientID),
        ("Study", header.StudyInstanceUID, str(header.get("StudyDescription") or "Study")),
    ):
        item = hierarchy.GetItemByUID("DICOM", uid)
        if not item:
            item = (
                hierarchy.CreateSubjectItem(parent, name)
                if level == "Patient"
                else hierarchy.CreateStudyItem(parent, name)
            )
            hierarchy.SetItemUID(item, "DICOM", uid)
        parent = item
    item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(parent, node)
    hierarchy.SetItemParent(item, parent)
    hierarchy.SetItemUID(item, "DICOM", header.SeriesInstanceUID)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", header.Modality)


def install() -> None:
    """Make `from DICOMLib import DICOMUtils` work."""
    module = ModuleType("DICOMLib")
    module.DICOMUtils = ModuleType("DICOMLib.DICOMUtils")
    module.DICOMUtils.loadSeriesByUID = load_series
    sys.modules["DICOMLib"], sys.modules["DICOMLib.DICOMUtils"] = module, module.DICOMUtils
