"""What a data source holds: pairs of series, and everything about it that is not as it should be."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..base import (
    DataError,
    DicomError,
    PairingWarning,
    PathLike,
    Progress,
    VolumeError,
    as_paths,
    index_file,
    unheard,
)
from ..dicom import DicomHeader
from ..files import READABLE
from .grouping import series_of, why_left_out
from .identity import common_folder
from .index import HeaderIndex
from .listing import FileStamp, stamps_under
from .pairs import SeriesPair, pair_series
from .series import Problem
from .slicer_database import database_files, is_database
from .volume_facts import VolumeFacts, why_passed_over
from .volume_files import volume_series

_INDEX = "DICOMDIR"
_EVERY = 1000  # files that are listed between two calls of progress
_SHOWN = 3  # files of one folder with the same trouble that are named; the rest is counted


@dataclass(frozen=True)
class Scan:
    """What a data source holds.

    Attributes:
        source: the paths that were scanned.
        pairs: pairs and single series, sorted by patient.
        problems: everything that is unclear, damaged or unusual; the rest was found all the same.
        left_out: number of files that are none to look at, though nothing is wrong with them, by reason.
        files: number of files that were looked at.
        read: how many of them had to be read because the index did not know them.
    """

    source: tuple[Path, ...]
    pairs: tuple[SeriesPair, ...]
    problems: tuple[Problem, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    files: int = 0
    read: int = 0


def find_pairs(
    source: PathLike | Sequence[PathLike], *, progress: Progress = unheard, index: HeaderIndex | None = None
) -> list[SeriesPair]:
    """Pairs and single series of a data source, sorted by patient; see `scan` and `pair_series`.

    Raises:
        DataError: no such file, no CT series at all, or none but low dose.
        DicomError: a single file that is damaged.

    Warns:
        PairingWarning: for each problem of the scan.
    """
    found = scan(source, progress=progress, index=index)
    if found.pairs or not _only_damage(found):
        for problem in found.problems:
            warnings.warn(PairingWarning(str(problem)), stacklevel=2)
    return require_pairs(found)


def require_pairs(found: Scan) -> list[SeriesPair]:
    """The pairs of a scan.

    Raises:
        DataError: there are none.
        DicomError: there are none because the only file is damaged.
    """
    if found.pairs:
        return list(found.pairs)
    if problem := _only_damage(found):
        raise DicomError(problem.what, where=problem.where, hint=problem.hint)
    what = "no CT series"
    if any("low-dose" in problem.what for problem in found.problems):
        what = "low-dose series without full dose"
    elif found.left_out:
        what += ", only " + ", ".join(f"{count} {why}" for why, count in found.left_out.items())
    if found.problems:
        hint = f"The first of {len(found.problems)} problems: {found.problems[0]}"
    else:
        hint = "Choose a folder with DICOM files or volumes (.nrrd .nii.gz .mha), or a database of 3D Slicer."
    raise DataError(what, where=", ".join(map(str, found.source)) or None, hint=hint)


def _only_damage(found: Scan) -> Problem | None:
    """What is wrong with the only file, where there is no more than that."""
    if found.files == len(found.problems) == 1 and not found.pairs:
        problem = found.problems[0]
        return problem if problem.where == str(found.source[0].absolute()) else None
    return None


def scan(
    source: PathLike | Sequence[PathLike], *, progress: Progress = unheard, index: HeaderIndex | None = None
) -> Scan:
    """Everything in a data source; what is damaged or unclear is listed, and the rest goes on.

    Args:
        source: folder trees, DICOM or volume files, and folders of 3D Slicer's DICOM database: one or several.
            Volume files pair up when their names or folders tell patient and dose, as `<patient>.low.nrrd` and
            `<patient>.full.nrrd` do; see `dose_words`.
        progress: gets the fraction that is done; what it raises stops the scan, and the index keeps what was read.
        index: of headers that are known already; None: the one in the user's cache.

    Raises:
        DataError: a path that does not exist.
    """
    paths = as_paths(source)
    index = HeaderIndex(index_file()) if index is None else index
    problems: list[Problem] = []
    left_out: Counter[str] = Counter()
    stamps = sorted(dict.fromkeys(_heard(_stamps(paths, problems, left_out), progress)))
    headers: list[DicomHeader] = []
    volumes: list[tuple[Path, VolumeFacts]] = []
    damaged, read = [], 0
    for stamp, found, fresh in index.headers(_worth_reading(stamps, left_out), progress=progress):
        read += fresh
        if found is None:
            index_of = stamp.name.upper() == _INDEX
            left_out["indexes of other files (DICOMDIR)" if index_of else "files that are not DICOM"] += 1
        elif isinstance(found, VolumeError):
            damaged.append(Problem.of(found))
        elif why := found.left_out if isinstance(found, VolumeFacts) else why_left_out(found):
            left_out[why] += 1
        elif isinstance(found, VolumeFacts):
            volumes.append((Path(stamp.path), found))
        else:
            headers.append(found)
    common = common_folder(path.expanduser().absolute() for path in paths)
    series, unusual = series_of(headers, common)
    others, odd = volume_series(volumes, common)
    pairs, unclear = pair_series([*others, *series])
    problems += [*_gathered([*damaged, *unusual]), *odd, *unclear]
    if index.trouble:
        what = f"the index of known files cannot be kept ({index.trouble})"
        problems.append(
            Problem(
                str(index.file),
                what,
                "All is found without it, only slower the next time; CTINVARIANCE_CACHE may name another folder.",
            )
        )
    return Scan(tuple(paths), tuple(pairs), tuple(problems), dict(left_out), len(stamps), read)


def _worth_reading(stamps: Iterable[FileStamp], left_out: Counter[str]) -> list[FileStamp]:
    """All but volume files whose names tell that they are none to look at; those are counted."""
    worth = []
    for stamp in stamps:
        why = why_passed_over(Path(stamp.path)) if stamp.name.lower().endswith(READABLE) else ""
        if why:
            left_out[why] += 1
        else:
            worth.append(stamp)
    return worth


def _heard(stamps: Iterator[FileStamp], progress: Progress) -> Iterator[FileStamp]:
    """The same, with a call of `progress` now and then, so that long listings can be cancelled too."""
    for number, each in enumerate(stamps):
        if number % _EVERY == 0:
            progress(0.0)
        yield each


def _stamps(paths: Iterable[Path], problems: list[Problem], left_out: Counter[str]) -> Iterator[FileStamp]:
    """The files of all paths: those that a database lists, a folder's, or files themselves."""
    for path in paths:
        path = path.expanduser().absolute()
        if not path.exists():
            raise DataError("there is no such file or folder", where=path, hint="Check the path.")
        if is_database(path):
            yield from _database(path if path.is_dir() else path.parent, problems, left_out)
        elif path.name.upper() == _INDEX and path.is_file():  # what it lists lies below its folder
            yield from stamps_under(path.parent, problems)
        else:
            yield from stamps_under(path, problems)


def _database(folder: Path, problems: list[Problem], left_out: Counter[str]) -> Iterator[FileStamp]:
    """The files of a database; where it cannot be read, those of its folder."""
    try:
        database = database_files(folder)
    except DataError as error:
        problems.append(Problem(str(error.where), error.what, f"{error.hint} Its folder is scanned instead."))
        yield from stamps_under(folder, problems)
        return
    problems += database.problems
    left_out.update({f"{modality}, not CT": count for modality, count in database.others.items()})
    yield from database.files


def _gathered(problems: Iterable[Problem]) -> list[Problem]:
    """One problem for all files of a folder that have the same: a series of 300 slices is named once."""
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        folder = os.path.dirname(problem.where)  # noqa: PTH120 - of a series there is none
        groups.setdefault((folder or problem.where, problem.what), []).append(problem)
    gathered = []
    for several in groups.values():
        first = several[0]
        names = ", ".join([first.where, *(Path(each.where).name for each in several[1:_SHOWN])])
        if len(several) > _SHOWN:
            names += f" and {len(several) - _SHOWN} more files of this folder"
        gathered.append(Problem(names, first.what, first.hint))
    return gathered
