"""Of whom a series is, and at which dose: all that its header, its file and its folders say, weighed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .dose_words import dose_in_name, dose_of
from .naming import is_nobody, is_only_dose, kernel_beside_dose, says_little, without_dose

UNCLEAR = "unclear"
"""The dose of a series of which one text says low and another full."""


@dataclass(frozen=True)
class Labels:
    """What a series is called.

    Attributes:
        patient_id: PatientID; likewise patient_name, study_uid, study_description, description.
        file: name of its first file, without suffix.
        folders: those it lies in, from the nearest one up to the source's own, see `folders_of`.
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
        return next(filter(None, map(kernel_beside_dose, texts)), "")

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
        place = next((n for n, folder in enumerate(self.folders) if dose_in_name(folder)), None)
        return "" if place is None else self._patient_near(place)

    def _patient_near(self, place: int) -> str:
        """Of whom the n-th folder is, which names a dose: itself, else those below, above, and last the source."""
        own, *above = self.folders[place:]
        near = [*reversed(self.folders[:place]), *above[:-1], without_dose(own), *above[-1:]]
        if not is_only_dose(own):
            near.insert(0, without_dose(own))
        return next((name for name in near if name and not says_little(name)), "")

    @property
    def person(self) -> str:
        """PatientName in a form that is equal for two spellings of it; "" where it stands for anybody."""
        name = without_dose(self.patient_name, person=True)
        return "" if is_nobody(name) else " ".join(re.findall(r"[^\W_]+", name.casefold()))

    @property
    def owner(self) -> str:
        """What to call the patient; one of whom nothing is known by the study: those of two must not fall together."""
        by_study = f"{self.patient_id} (study {self.study_uid})" if self.patient_id else self.study_uid
        return self.patient or by_study

    def _telling(self) -> Sequence[str]:
        """The folders whose names may speak of the dose: the source's own only if it says nothing else.

        A source may be called "lowdose_project"; one that is called "quarter_1mm" means it.
        """
        *below, source = self.folders or ("",)
        short = any(word in source.casefold().replace("-", "_").split("_") for word in ("qd", "fd"))
        return self.folders if short or is_only_dose(source) else below


def common_folder(sources: Iterable[Path]) -> Path:
    """The folder that all sources share: names of folders above it tell nothing that tells one series from another.

    Args:
        sources: absolute.
    """
    folders = {source if source.is_dir() else source.parent for source in sources}
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # none, or on several drives
        return Path()


@lru_cache(maxsize=4096)
def folders_of(folder: Path, common: Path) -> tuple[str, ...]:
    """The names of a folder and of those above it, from its own up to that of `common_folder`."""
    if common not in (folder, *folder.parents):
        return (folder.name,)
    return (*reversed(folder.relative_to(common).parts), common.name)


def file_label(name: str) -> str:
    """What of a DICOM file's name to look at: up to the first full stop, where that part tells the dose."""
    start, _, rest = name.partition(".")
    return start if dose_in_name(start) or not rest else name.rpartition(".")[0]
