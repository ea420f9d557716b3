"""The errors that people see: each says what is wrong, where, and what to do about it."""

from __future__ import annotations


class CTInvarianceError(Exception):
    """
    Root of all errors that a person can cause and mend.

    Args:
        what: what is wrong, as one sentence without a final full stop.
        where: the file, folder, series, layer or setting that is meant.
        hint: what to do about it, as one sentence.
    """

    def __init__(self, what: str, *, where: object = None, hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        """All three parts on one line."""
        line = self.what if self.where is None else f"{self.what}: {self.where}"
        return " ".join((f"{line}. {self.hint}" if self.hint else line).split())


class VolumeError(CTInvarianceError):
    """A volume that cannot be read, or whose values or shape do not fit."""


class DicomError(VolumeError):
    """DICOM files that do not form one CT volume."""


def unreadable(path: object, error: OSError, kind: type[VolumeError] = DicomError) -> VolumeError:
    """The error for a file that cannot be opened or read."""
    return kind(
        f"cannot be read ({error.strerror or error})", where=path, hint="Check the disk and its permissions."
    )


class DataError(CTInvarianceError):
    """A data source that holds nothing to train on or to evaluate."""


class LayerError(CTInvarianceError):
    """A layer that does not exist, or at which the denoiser cannot be cut."""


class ConfigError(CTInvarianceError):
    """A setting that does not exist or whose value does not fit."""


class ModelsError(CTInvarianceError):
    """A folder of trained models that is missing, incomplete or of another version."""


class WeightsError(ModelsError):
    """A weight file that is missing, damaged, of another shape, or not what it claims to be."""


class ProcessError(CTInvarianceError):
    """Another one of the processes that share the work has failed, or is gone."""


class GeometryWarning(UserWarning):
    """Geometry that is unusual but usable: a tilted gantry, uneven spacing, missing slices."""


class HounsfieldWarning(UserWarning):
    """Values that are hardly Hounsfield units: shifted, scaled or clipped."""


class PairingWarning(UserWarning):
    """Series that are left out or unpaired because it is not clear what belongs together."""


class ModelsWarning(UserWarning):
    """A model set that can be used, but not be proven to be what was trained."""
