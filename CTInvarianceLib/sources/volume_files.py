"""Volume files as series: of whom each is, and at which dose, as far as names of files and folders tell."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..files import volume_suffix
from .identity import Labels, folders_of
from .naming import says_little, without_dose
from .series import CTSeries, Problem, anatomy_of
from .volume_facts import VolumeFacts

_SUBJECT = re.compile(r"(sub-[^_]+)_.*")  # of BIDS, https://bids-specification.readthedocs.io
_VISIT = re.compile(r"(ses|session|visit|study|series|timepoint|baseline|followup)[ _-]?\w*", re.IGNORECASE)
_SHOWN = 3  # files or names that a message names
_MANY = 4  # times as many names as folders are patients: arterial/p1 … venous/p9


@dataclass(frozen=True)
class _Named:
    path: Path
    facts: VolumeFacts
    labels: Labels
    name: str  # of the file, without dose
    people: tuple[str, ...]  # names of folders that may be a patient's, from the nearest one up

    @property
    def alike(self) -> tuple[str, str, str]:
        """What two files of one patient cannot share unless they are two copies."""
        return self.name, self.labels.dose, self.labels.kernel


def volume_series(
    found: Iterable[tuple[Path, VolumeFacts]], common: Path
) -> tuple[list[CTSeries], list[Problem]]:
    """One series for every CT volume.

    The patient is what the file's name holds besides the dose. Where it holds nothing ("p1/low.nrrd"), or many folders
    hold files of few names ("s0000/ct.nii.gz", "s0001/ct.nii.gz"), the folder is the patient. Where neither is likely,
    all that shares a folder or a name counts as one patient: training and validation must not share people.

    Args:
        found: absolute paths, and what the files hold.
        common: the folder of all that was scanned.
    """
    files = [_named(path, facts, common) for path, facts in found]
    clashes = _clashes(files)
    patients = _folder_names([file for file in files if not file.name])
    problems: list[Problem] = []
    if clashes:
        beside = {file.path.parent for file in clashes}
        near, names = [file for file in files if file.path.parent in beside], {file.name for file in clashes}
        if 2 * sum(file.name in names for file in near) < len(near):
            problems.append(_unclear(clashes, "what shares one"))
        elif len(beside) > len(names):
            patients |= _folder_names(near)
        elif len(names) < _MANY * len(beside):
            patients |= _joined(near)
            problems.append(_unclear(clashes, "what shares one, or a folder,"))
    series = [_series(file, patients.get(file.path, file.name)) for file in files]
    problems += [Problem(str(file.path), each) for file in files for each in file.facts.warnings]
    return series, problems


def _clashes(files: Sequence[_Named]) -> list[_Named]:
    """The files of which another one in another folder has the same name, dose and kernel."""
    sharing: dict[tuple[str, str, str], list[_Named]] = defaultdict(list)
    for file in files:
        sharing[file.alike].append(file)
    return [
        each for several in sharing.values() if len({each.people for each in several}) > 1 for each in several
    ]


def _unclear(clashes: Sequence[_Named], taken: str) -> Problem:
    names = {file.name for file in clashes}
    return Problem(
        ", ".join(str(each.path) for each in clashes[:_SHOWN]),
        f"{len(names)} names occur in several folders; {taken} is taken for one patient",
        "Give every patient a folder or a name of their own.",
    )


def _joined(files: Sequence[_Named]) -> dict[Path, str]:
    """One patient for all files that are linked by a name or a folder, called after all these names."""
    linked: list[tuple[set[str | Path], list[_Named]]] = []
    for file in files:
        links: set[str | Path] = {file.name, file.path.parent}
        together = [file]
        for each in [each for each in linked if each[0] & links]:
            linked.remove(each)
            links |= each[0]
            together += each[1]
        linked.append((links, together))
    return {
        file.path: " + ".join(sorted({each.name for each in together})[:_SHOWN])
        for _, together in linked
        for file in together
    }


def _named(path: Path, facts: VolumeFacts, common: Path) -> _Named:
    stem = path.name[: -len(volume_suffix(path) or "")]
    folders = folders_of(path.parent, common)
    labels = Labels(file=stem, folders=folders)
    subject = _SUBJECT.fullmatch(stem)
    name = subject[1] if subject else without_dose(stem)
    people = [each for each in map(without_dose, folders) if each and not says_little(each)]
    own = tuple(each for each in people if not _VISIT.fullmatch(each)) or tuple(people) or (path.parent.name,)
    return _Named(path, facts, labels, name, own)


def _folder_names(files: Sequence[_Named]) -> dict[Path, str]:
    """Who every file is of that is called after its folder: the nearest one, with those above it where it repeats."""
    above: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for file in files:
        above[file.people[0]].add(file.people)
    return {
        file.path: file.people[0] if len(above[file.people[0]]) == 1 else "/".join(reversed(file.people))
        for file in files
    }


def _series(file: _Named, patient: str) -> CTSeries:
    stem, facts = file.labels.file, file.facts
    dose = file.labels.dose
    return CTSeries(
        patient or stem,
        "",
        f"{dose} dose" if dose else stem,
        (file.path,),
        anatomy=anatomy_of(patient, "", stem),
        kernel=file.labels.kernel,
        shape=facts.shape,
        spacing=facts.spacing,
        affine=facts.affine,
        dose=dose,
    )
