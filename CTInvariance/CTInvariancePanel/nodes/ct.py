"""Whether a volume node is a CT scan in Hounsfield units."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from CTInvarianceLib.base import VolumeError

_MODALITY = "DICOM.Modality"
_TAG = "0008,0060"
_FINITE: deque[int] = deque(maxlen=64)
"""Times at which arrays were modified that have been found finite; VTK gives each time once."""


def requireCT(volumeNode: Any) -> None:
    """Check that a node is a CT volume as far as it can be told.

    Raises:
        VolumeError: no volume, an empty one, a label map, colours, NaN or infinite values, another modality.
    """
    if volumeNode is None:
        raise VolumeError(_("no volume is chosen"), hint=_("Load a CT scan and choose it."))
    name = volumeNode.GetName()
    if volumeNode.IsA("vtkMRMLLabelMapVolumeNode"):
        raise VolumeError(
            _("this is a label map, not an image"), where=name, hint=_("Choose the CT scan itself.")
        )
    if not volumeNode.IsA("vtkMRMLScalarVolumeNode"):
        raise VolumeError(_("this is no volume"), where=name, hint=_("Choose a CT scan."))
    image = volumeNode.GetImageData()
    if image is None or not image.GetNumberOfPoints() or image.GetPointData().GetScalars() is None:
        raise VolumeError(
            _("the volume is empty"), where=name, hint=_("Load it again, or choose another one.")
        )
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise VolumeError(
            _("the voxels have {} values each, a CT scan has one").format(components),
            where=name,
            hint=_("Choose a CT scan."),
        )
    modality = modalityOf(volumeNode)
    if modality not in {"", "CT"}:
        raise VolumeError(
            _("the volume is of modality {}, not CT").format(modality),
            where=name,
            hint=_("The method needs Hounsfield units: choose a CT scan."),
        )
    _requireFinite(volumeNode)


def _requireFinite(volumeNode: Any) -> None:
    array = slicer.util.arrayFromVolume(volumeNode)
    time = volumeNode.GetImageData().GetPointData().GetScalars().GetMTime()
    if array.dtype.kind != "f" or time in _FINITE:
        return
    for k, slice_ in enumerate(array):  # slice by slice: no mask as large as the volume
        if not np.isfinite(slice_).all():
            raise VolumeError(
                _("slice {} has values that are NaN or infinite").format(k),
                where=volumeNode.GetName(),
                hint=_("Replace them by HU, for instance -1024 outside the scanned circle."),
            )
    _FINITE.append(time)


def modalityOf(volumeNode: Any) -> str:
    """DICOM modality of a volume ("CT", "MR"); empty where nothing tells."""
    told = volumeNode.GetAttribute(_MODALITY) or ""
    scene = volumeNode.GetScene()
    if not told and scene is not None:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        item = hierarchy.GetItemByDataNode(volumeNode) if hierarchy is not None else 0
        told = (hierarchy.GetItemAttribute(item, _MODALITY) if item else "") or ""
    return (told or _modalityInDatabase(volumeNode)).strip().upper()


def _modalityInDatabase(volumeNode: Any) -> str:
    uids = (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)  # not there at start-up, nor outside the application
    if not uids or database is None or not database.isOpen:
        return ""
    return database.instanceValue(uids[0], _TAG) or ""


def looksLikeCT(volumeNode: Any) -> bool:
    """False where the values are hardly HU: raw or MR intensities, or 8-bit grey values.

    For a warning only: parts of a scan may rightly look like this, the inside of a metal implant for instance.
    """
    array = slicer.util.arrayFromVolume(volumeNode)
    if any(slice_.min() < 0 for slice_ in array):  # in CT of a body the first slice tells
        return True
    return bool(255 < array.max() <= 5000)
