"""Of whom a series is, and at which dose: all that its header, its file and its folders say, weighed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .naming import dose_in_name, dose_of, is_nobody, is_only_dose, kernel_in, says_little, without_dose

UNCLEAR = "unclear"
"""The dose of a series of which one text says low and another full."""


@dataclass(frozen=True)
class Labels:
    """What a series is called.

    Attributes:
        patient_id: PatientID; likewise patient_name, study_uid, study_description, description.
        file: name of its first file, without suffix.
        folders: those it lies in, from the nearest one up to the source's own.
    """

    patient_id: str = ""
    patient_name: str = ""
    study_uid: str = ""
    study_description: str = ""
    description: str = ""
    file: str = ""
    folders: tuple[str, ...] = ()

    @property
    def dose(self) -> str:
        """One of "low", "full", `UNCLEAR`, or "" where nothing tells.

        The header's own texts come first and must agree; then the file, and the folders from the nearest one up;
        last StudyDescription.
        """
        people = (dose_in_name(each, person=True) for each in (self.patient_name, self.patient_id))
        told = {dose_of(self.description), *people} - {""}
        if len(told) > 1:
            return UNCLEAR
        named = (dose_in_name(each) for each in (self.file, *self._telling()))
        return next(iter(told), "") or next(filter(None, named), "") or dose_of(self.study_description)

    @property
    def kernel(self) -> str:
        """The kernel that a text names beside the dose, such as "sharp"; "" without one."""
        texts = (self.description, self.patient_name, self.patient_id, self.file, *self.folders)
        return kernel_in(*(text for text in texts if dose_of(text) or dose_in_name(text)))

    @property
    def patient(self) -> str:
        """PatientID, else PatientName, without the dose; "" where they stand for anybody and nothing else tells.

        Only a file or folder that names a dose is asked who it is of: others may be named after anything.
        """
        for text in (self.patient_id, self.patient_name):
            if not is_nobody(text) and (name := without_dose(text, person=True)):
                return name
        if dose_in_name(self.file) and (name := without_dose(self.file)) and not says_little(name):
            return name
        for place, folder in enumerate(self.folders):
            if dose_in_name(folder):
                near = (without_dose(folder), *reversed(self.folders[:place]), *self.folders[place + 1 :])
                return next((name for name in near if name and not says_little(name)), "")
        return ""

    def _telling(self) -> Sequence[str]:
        """The folders whose names may speak of the dose: the source's own only if it says nothing else.

        A source may be called "lowdose_project"; one that is called "quarter_1mm" means it.
        """
        *below, source = self.folders or ("",)
        short = any(word in source.casefold().replace("-", "_").split("_") for word in ("qd", "fd"))
        return self.folders if short or is_only_dose(source) else below


def folders_of(path: Path, sources: Iterable[Path]) -> tuple[str, ...]:
    """The names of the folders of a file, from its own up to that of the nearest source above it.

    Args:
        path: absolute.
        sources: absolute folders or files; of a file, its own folder counts.
    """
    return _folders(path.parent, tuple(sources))


@lru_cache(maxsize=4096)
def _folders(folder: Path, sources: tuple[Path, ...]) -> tuple[str, ...]:
    above = [source for source in sources if source == folder or source in folder.parents]
    if not above:
        return (folder.name,)
    source = max(above, key=lambda each: len(each.parts))
    return (*reversed(folder.relative_to(source).parts), source.name)


def file_label(name: str) -> str:
    """What of a DICOM file's name to look at: up to the first full stop, where that part tells the dose."""
    start, _, rest = name.partition(".")
    return start if dose_in_name(start) or not rest else name.rpartition(".")[0]
