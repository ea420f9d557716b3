"""What may be deleted: folders that carry our mark and just the identifier that we gave them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from CTInvarianceLib.base import (
    MARK,
    identifier_of,
    is_ours,
    is_scratch,
    mark_ours,
    new_identifier,
    remove_ours,
)

posix = pytest.mark.skipif(os.name != "posix", reason="links and owners as POSIX has them")


def test_a_marked_folder_goes_with_all_in_it(tmp_path):
    identifier = new_identifier()
    mark_ours(tmp_path / "a" / "b", identifier)
    (tmp_path / "a" / "b" / "c").mkdir()
    (tmp_path / "a" / "b" / "c" / "d").write_text("d")
    assert is_ours(tmp_path / "a" / "b", identifier)
    assert remove_ours(tmp_path / "a" / "b", identifier)
    assert list((tmp_path / "a").iterdir()) == []
    assert not remove_ours(tmp_path / "a" / "b", identifier)


@pytest.mark.parametrize(
    "mark",
    [
        None,
        "",
        "[]",
        "{",
        "null",
        '{"program": "CTInvariance"}',
        '{"program": "CTInvariance", "identifier": null}',
        '{"program": "CTInvariance", "identifier": "another"}',
        '{"program": "another", "identifier": "mine"}',
        "[" * 100_000,
        "\x00",
    ],
)
def test_without_just_that_mark_everything_stays(tmp_path, mark):
    (tmp_path / "thesis.txt").write_text("years")
    if mark is not None:
        (tmp_path / MARK).write_text(mark)
    assert not remove_ours(tmp_path, "mine")
    assert (tmp_path / "thesis.txt").read_text() == "years"


@posix
@pytest.mark.parametrize("kind", ["folder", "mark", "fifo"])
def test_links_are_no_marks_and_what_is_no_file_is_not_read(tmp_path, kind):
    mark_ours(tmp_path / "there", "mine")
    here = tmp_path / "here"
    if kind == "folder":
        here.symlink_to(tmp_path / "there", target_is_directory=True)
    else:
        here.mkdir()
        if kind == "mark":
            (here / MARK).symlink_to(tmp_path / "there" / MARK)
        else:
            os.mkfifo(here / MARK)
    assert identifier_of(here) is None
    assert not remove_ours(here, "mine")
    assert is_ours(tmp_path / "there", "mine")


@posix
def test_a_link_inside_goes_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    mark_ours(tmp_path / "ours", "mine")
    (tmp_path / "ours" / "home").symlink_to(tmp_path / "home", target_is_directory=True)
    assert remove_ours(tmp_path / "ours", "mine")
    assert (tmp_path / "home" / "letter").read_text() == "dear"


@posix
def test_a_folder_of_another_user_is_not_ours(tmp_path, monkeypatch):
    mark_ours(tmp_path / "a", "mine")
    monkeypatch.setattr(os, "getuid", lambda: Path(tmp_path).stat().st_uid + 1)
    assert not remove_ours(tmp_path / "a", "mine")


def test_an_interrupted_removal_is_still_known_to_be_ours(tmp_path, monkeypatch):
    mark_ours(tmp_path / "a", "mine")
    for number in range(5):
        (tmp_path / "a" / f".{number}").write_text("x")
    unlink, calls = Path.unlink, []

    def interrupted(path: Path, **options: bool) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        unlink(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            remove_ours(tmp_path / "a", "mine")
    assert json.loads((tmp_path / "a" / MARK).read_text())["identifier"] == "mine"
    assert remove_ours(tmp_path / "a", "mine")


def test_a_scratch_folder_is_marked_with_its_own_name(tmp_path):
    for name, identifier in (("ctinvariance-1", "ctinvariance-1"), ("ctinvariance-2", "x"), ("mine", "mine")):
        mark_ours(tmp_path / name, identifier)
    assert [each.name for each in sorted(tmp_path.iterdir()) if is_scratch(each)] == ["ctinvariance-1"]
