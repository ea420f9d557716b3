"""What the demo may touch in the folder that it is given: what a demo has made there, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from CTInvarianceLib.app import main
from CTInvarianceLib.app.demo import run_demo
from CTInvarianceLib.base import Cancelled, DataError, Event, mark_ours

NAMES = ("phantoms", "phantoms.unfinished", "models", "samples", "montages")


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def run(out: Path, *, fresh: bool) -> None:
    """The demo, stopped at its first step, which comes after all that it deletes."""

    def nobody_listens(event: Event) -> None:
        pass

    with pytest.raises(Cancelled):
        run_demo(out, fresh=fresh, on_event=nobody_listens, should_stop=lambda: True)


@pytest.mark.parametrize("arguments", [[], ["--fresh"]])
@pytest.mark.parametrize("name", [*NAMES, "table.json"])
def test_what_others_have_there_stays(tmp_path, capsys, name, arguments):
    if name == "table.json":
        (tmp_path / name).write_text("mine")
    else:
        (tmp_path / name / "of my thesis").mkdir(parents=True)
        (tmp_path / name / "of my thesis" / "models.json").write_text("years")
    before = tree(tmp_path)
    assert main(["demo", "--out", str(tmp_path), *arguments]) == 2
    assert tree(tmp_path) == before
    error = capsys.readouterr().err
    assert f"{name}: not this demo's" in error
    assert "--out" in error


@pytest.mark.parametrize("kind", ["file", "link", "marked by another demo", "unmarked"])
def test_a_demos_own_folder_may_hold_what_is_not_the_demos(tmp_path, kind):
    out, models = tmp_path / "demo", tmp_path / "demo" / "models"
    mark_ours(out, "this demo")
    mark_ours(out / "samples", "this demo")
    mark_ours(tmp_path / "elsewhere", "this demo")
    if kind == "file":
        models.write_text("models")
    elif kind == "link":
        models.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    elif kind == "unmarked":
        (models / "mine").mkdir(parents=True)
    else:
        mark_ours(models, "another demo")
    before = tree(tmp_path)
    with pytest.raises(DataError, match=r"models: not this demo's"):
        run_demo(out, fresh=True, on_event=lambda event: None)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("fresh", [True, False])
def test_what_a_demo_has_made_is_its_own(tmp_path, fresh):
    """Whatever else lies beside it stays."""
    (tmp_path / "letter.txt").write_text("dear")
    (tmp_path / "phantoms").mkdir()  # empty: nothing to lose
    run(tmp_path, fresh=False)
    (tmp_path / "phantoms.unfinished" / "left").write_text("over")
    run(tmp_path, fresh=fresh)
    assert not (tmp_path / "phantoms.unfinished" / "left").exists()
    assert (tmp_path / "letter.txt").read_text() == "dear"
    mark = (tmp_path / ".ctinvariance.json").read_text()
    assert (tmp_path / "phantoms.unfinished" / ".ctinvariance.json").read_text() == mark


def test_fresh_starts_over_and_without_it_goes_on(tmp_path):
    run(tmp_path, fresh=False)
    identifier = (tmp_path / ".ctinvariance.json").read_text()
    for name in NAMES:
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / ".ctinvariance.json").write_text(identifier)
        (tmp_path / name / "made").write_text("by the demo")
    run(tmp_path, fresh=True)
    assert not [name for name in NAMES if (tmp_path / name / "made").exists()]


def test_a_place_that_is_no_folder_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(["demo", "--out", str(tmp_path / "file")]) == 2
    assert "that is a file" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
