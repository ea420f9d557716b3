"""The section Train: real series, a real training in its own process, real nodes."""

from __future__ import annotations

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
import tiny
from bench.dicom_database import DicomDatabase
from panel_bench import panel_with

from CTInvarianceLib.config import config_from_dict, is_alive

SMALL = {"identity": {"architecture": "identity", "layers": ["1"], "loss": "none"}}


def small():
    """A training of some seconds, with everything in it that is shown."""
    values = tiny.config("complete").to_dict()
    chen = {**values["denoisers"]["chen"], "layers": ["5"], "steps": 40}
    return config_from_dict({**values, "denoisers": {"chen": chen}})


def long():
    """A training that goes on until it is stopped."""
    values = small().to_dict()
    values["denoisers"]["chen"]["steps"] = 1_000_000
    return config_from_dict(values)


@pytest.fixture
def database(bench, tiny_source, tmp_path):
    """Three patients with low and full dose."""
    opened = DicomDatabase(tmp_path / "Datenbank ä")
    opened.addFolder(tiny_source)
    slicer.dicomDatabase = opened
    yield opened
    opened.closeDatabase()
    slicer.dicomDatabase = None


@pytest.fixture
def opened(bench, database, tiny_spatial_models, tmp_path, monkeypatch):
    """Opens panels one after another, as somebody does who closes Slicer and comes back."""

    def open_panel():
        return panel_with(bench, tiny_spatial_models, tmp_path, monkeypatch, again=True)

    slicer.app.settings().remove("CTInvariance/Trainings")
    slicer.app.settings().remove("CTInvariance/GoOnWhenSlicerCloses")
    return open_panel


def ready(bench, widget, config=None):
    """Everything is ticked; the section trains `config`."""
    section = widget.panel.train
    section.button.collapsed = False
    bench.wait(lambda: section.panel.data.ui.tree.topLevelItemCount == 3, what="the database")
    if config is not None:
        section.configuration = lambda: config
    if not section.panel.data.tickedPairs():
        bench.click(section.ui.tickButton)
    return section


def begun(bench, section, stage="denoiser chen"):
    """Press the button, and wait until the training has come to a stage; returns the training."""
    bench.click(section.ui.startButton)
    bench.wait(lambda: section.training is not None and not section.training.job.finished, what="the start")
    training = section.training
    bench.wait(lambda: training.standing.stage == stage or training.job.finished, what=stage)
    assert not training.job.finished, training.job.error
    return training


def ended(bench, training):
    bench.wait(lambda: training.job.finished, what="the end of the training")
    bench.wait(lambda: not is_alive(training.folder), what="the end of its process")
    return training.job


def test_a_training_from_the_first_click_to_explore(bench, opened):
    with opened() as widget:
        section = ready(bench, widget, small())
        assert "2 training" in section.ui.splitLabel.text
        assert "1 validation" in section.ui.splitLabel.text
        bench.wait(lambda: "Takes about" in section.ui.costLabel.text, what="the cost")
        training = begun(bench, section, "conditions chen")
        bench.click(section.ui.curvesButton)
        assert not section.ui.formArea.isVisible()
        states = {section.ui.stagesTree.topLevelItem(k).text(0): section.ui.stagesTree.topLevelItem(k).text(1)
                  for k in range(section.ui.stagesTree.topLevelItemCount)}  # fmt: skip
        assert list(states) == list(training.standing.stages)
        assert states["denoiser chen"] == "done"
        assert states["flow chen layer 5 full"] == "waiting"
        assert ended(bench, training).state == "done"
        explore = widget.panel.explore
        assert widget.logic.modelSets()[explore.parameters.models] == training.folder
        assert explore.ui.modelsBox.currentText == training.folder.name
        assert explore.layersOf == {"chen": ["5"]}
        assert section.ui.formArea.isVisible()
        assert section.folder != training.folder
        assert not (training.folder / "request.json").exists(), "it tells where patients' series lie"
        assert not (training.folder / "checkpoints" / "example.npz").exists()
