"""What a data source holds: pairs of series, and everything about it that is not as it should be."""

from __future__ import annotations

import os
import re
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
from ..files import READABLE, volume_grid, volume_suffix
from .grouping import series_of, why_left_out
from .index import HeaderIndex
from .listing import FileStamp, stamps_under
from .pairs import SeriesPair, pair_series
from .series import CTSeries, Problem, anatomy_of
from .slicer_database import database_files, is_database

_NAMED = re.compile(r"(?P<patient>.+)[._-](?P<dose>low|full)", re.IGNORECASE)
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
            Volume files pair up when they are named `<patient>.low.nrrd` and `<patient>.full.nrrd` (also with - or _).
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
    volumes = [each for each in stamps if each.name.lower().endswith(READABLE)]
    others = [each for each in stamps if not each.name.lower().endswith(READABLE)]
    headers, damaged, read = [], [], 0
    for _, found, fresh in index.headers(others, progress=progress):
        read += fresh
        if found is None:
            left_out["files that are not DICOM"] += 1
        elif isinstance(found, DicomError):
            damaged.append(Problem.of(found))
        elif why := why_left_out(found):
            left_out[why] += 1
        else:
            headers.append(found)
    series, unusual = series_of(headers, [path.expanduser().absolute() for path in paths])
    pairs, unclear = pair_series([*_volume_series(volumes, problems), *series])
    problems += [*_gathered([*damaged, *unusual]), *unclear]
    if index.trouble:
        what = f"the index of known files cannot be kept ({index.trouble})"
        problems.append(Problem(str(index.file), what, "All is found without it, only slower the next time."))
    return Scan(tuple(paths), tuple(pairs), tuple(problems), dict(left_out), len(stamps), read)


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


def _volume_series(stamps: Iterable[FileStamp], problems: list[Problem]) -> Iterator[CTSeries]:
    """One series per volume file, except sequences: those are results."""
    for stamp in stamps:
        path = Path(stamp.path)
        suffix = volume_suffix(path) or ""
        if path.name.lower().endswith(f".seq{suffix}"):
            continue
        if not stamp.size:
            problems.append(Problem(stamp.path, "the file is empty", "Copy or export it again."))
            continue
        stem = path.name[: -len(suffix)]
        named = _NAMED.fullmatch(stem)
        patient = named["patient"] if named else stem
        description = f"{named['dose'].lower()} dose" if named else stem
        patient = patient.split(".")[0]
        try:
            shape, spacing = volume_grid(path)
        except VolumeError as error:
            problems.append(Problem.of(error))
            continue
        anatomy = anatomy_of(patient, "", stem)
        yield CTSeries(patient, "", description, (path,), anatomy=anatomy, shape=shape, spacing=spacing)


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
