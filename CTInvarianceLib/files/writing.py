"""Volumes to disk: NRRD, NIfTI and MHA."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..base import PathLike, VolumeError, whole_file
from ..volumes import CTVolume
from .suffixes import writable_suffix


def write_volume(volume: CTVolume, path: PathLike) -> None:
    """Writes .nrrd, .nii, .nii.gz or .mha; values keep their type, a missing folder is made.

    NRRD and MHA keep the affine to 1e-12 mm. NIfTI stores it in float32 (about 1e-4 mm) and without shear.

    Raises:
        VolumeError: another suffix, a sheared volume as NIfTI, or a place that cannot be written to.
    """
    import SimpleITK as sitk

    path = Path(path)
    suffix = writable_suffix(path)
    direction = volume.affine[:3, :3] / volume.spacing
    if suffix.startswith(".nii") and np.abs(direction.T @ direction - np.eye(3)).max() > 1e-4:
        raise VolumeError("NIfTI cannot hold a sheared volume", where=path, hint="Use .nrrd.")
    image = sitk.GetImageFromArray(volume.hu)
    image.SetSpacing(volume.spacing)
    image.SetOrigin(volume.affine[:3, 3].tolist())
    image.SetDirection(direction.ravel().tolist())
    with whole_file(path) as unfinished:
        sitk.WriteImage(image, str(unfinished), useCompression=True, compressionLevel=1)
