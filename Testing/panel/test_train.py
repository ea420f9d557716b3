"""The section Train: real series, a real training in its own process, real nodes."""

from __future__ import annotations

import errno
import json
import os
import signal
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
import tiny
from bench.dicom_database import DicomDatabase
from panel_bench import panel_with

from CTInvarianceLib.base import DataError
from CTInvarianceLib.config import (
    Standing,
    State,
    begin_run,
    being_alive,
    config_from_dict,
    is_alive,
    preset,
    read_standing,
    write_standing,
)


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

    settings = ("Trainings", "GoOnWhenSlicerCloses", "Device")
    for name in settings:
        slicer.app.settings().remove(f"CTInvariance/{name}")
    yield open_panel
    for folder in (tmp_path / "Documents" / "CTInvariance").iterdir():
        if is_alive(folder):
            os.kill(read_standing(folder).pid, signal.SIGKILL)
    for name in settings:
        slicer.app.settings().remove(f"CTInvariance/{name}")


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
    assert section.ui.pauseButton.isVisible(), "at once"

    def there():
        return (training.standing.state, training.standing.stage) == (State.RUNNING, stage)

    bench.wait(lambda: there() or training.job.finished, what=stage)
    assert not training.job.finished, training.job.error
    return training


def ended(bench, training):
    bench.wait(lambda: training.job.finished, what="the end of the training")
    bench.wait(lambda: not is_alive(training.folder), what="the end of its process")
    return training.job


def stages(section):
    """What the list of stages shows."""
    tree = section.ui.stagesTree
    items = [tree.topLevelItem(k) for k in range(tree.topLevelItemCount)]
    return {item.text(0): item.text(1) for item in items}


def nodes(kind, name=""):
    return [node for node in slicer.util.getNodesByClass(kind) if node.GetName().startswith(name)]


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_training_from_the_first_click_to_explore(bench, opened):
    with opened() as widget:
        section = ready(bench, widget, small())
        assert section.ui.splitLabel.text == "2 training, 1 validation"
        bench.wait(lambda: "Takes about" in section.ui.costLabel.text, what="the cost")
        training = begun(bench, section, "conditions chen")
        bench.click(section.ui.curvesButton)
        assert not section.ui.formArea.isVisible()
        assert list(stages(section)) == list(training.standing.stages)
        assert stages(section)["denoiser chen"] == "done"
        assert list(stages(section).values())[-1] == "waiting"
        row = list(training.standing.stages).index("denoiser chen")
        section.ui.stagesTree.setCurrentItem(section.ui.stagesTree.topLevelItem(row))
        look_at_curves(training)
        look_at_example()
        assert ended(bench, training).state == "done"
        explore = widget.panel.explore
        assert widget.logic.modelSets()[explore.parameters.models] == training.folder
        assert explore.ui.modelsBox.currentText == training.folder.name
        assert explore.layersOf == {"chen": ["5"]}
        assert section.ui.formArea.isVisible()
        assert section.folder != training.folder
        assert not (training.folder / "request.json").exists(), "it tells where patients' series lie"
        bench.click(section.ui.curvesButton)
        assert slicer.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


def look_at_curves(training):
    """The charts show what the log says, in the plot views of our layout."""
    measured = {}
    for event in logged(training.folder):
        if event["event"] == "metric" and event["stage"] == "denoiser chen":
            measured.setdefault(event["name"], []).append((event["step"], event["value"]))
    for view, figure in (("CTInvariancePlotLoss", "loss"), ("CTInvariancePlotQuality", "rmse_hu")):
        plot = slicer.mrmlScene.GetSingletonNode(view, "vtkMRMLPlotViewNode")
        chart = plot.GetPlotChartNode()
        assert "denoiser chen" in chart.GetTitle()
        series = chart.GetNthPlotSeriesNode(0)
        table = series.GetTableNode()
        columns = [
            slicer.util.arrayFromTableColumn(table, name)
            for name in (series.GetXColumnName(), series.GetYColumnName())
        ]
        np.testing.assert_allclose(np.transpose(columns), measured[figure])
        assert not table.GetSaveWithScene()
    assert len(measured["rmse_hu"]) > 10


def look_at_example():
    """Three volumes that are offered nowhere, each in its view."""
    for view, name in (("Low", "low dose"), ("Out", "denoised"), ("Full", "full dose")):
        (volume,) = nodes("vtkMRMLScalarVolumeNode", f"Example: {name}")
        assert slicer.util.arrayFromVolume(volume).shape == (1, 64, 64)
        assert volume.GetHideFromEditors()
        composite = slicer.mrmlScene.GetSingletonNode(f"CTInvarianceTrain{view}", "vtkMRMLSliceCompositeNode")
        assert composite.GetBackgroundVolumeID() == volume.GetID()


@pytest.mark.slow
def test_paused_resumed_after_a_restart_killed_and_cancelled(bench, opened):
    with opened() as widget:
        training = begun(bench, ready(bench, widget, long()))
        bench.click(widget.panel.train.ui.pauseButton)
        assert ended(bench, training).state == "cancelled"
        assert "paused" in widget.panel.message.text
        assert widget.panel.train.ui.startButton.text == "Re&sume"
        folder, before = training.folder, len(logged(training.folder))
        assert folder not in widget.logic.modelSets().values(), "it is not finished"
    with opened() as widget:
        section = widget.panel.train
        assert section.folder == folder
        assert "not finished" in section.ui.costLabel.text
        assert not section.ui.presetBox.isEnabled()
        training = begun(bench, section)
        bench.wait(lambda: len(logged(folder)) > before, what="figures of the resumed training")
        assert logged(folder)[before]["step"] > 0, "it goes on from its checkpoint"
        os.kill(training.standing.pid, signal.SIGKILL)
        assert ended(bench, training).state == "failed"
        assert "killed" in widget.panel.message.text
        assert "Resume goes on" in widget.panel.message.text
        training = begun(bench, section)
        bench.answers.append(False)
        bench.click(section.ui.stopButton)
        assert str(folder) in bench.messages[-1].text
        assert not training.job.finished
        bench.answers.append(True)
        bench.click(section.ui.stopButton)
        assert ended(bench, training).state == "cancelled"
        assert str(folder) in widget.panel.message.text
        assert read_standing(folder).state is State.CANCELLED
    with opened() as widget:
        assert widget.panel.train.folder != folder, "nobody is asked about what was cancelled"
        assert (folder / "checkpoints" / "denoiser-chen.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("goesOn", [False, True])
def test_slicer_closes_while_something_is_trained(bench, opened, goesOn):
    with opened() as widget:
        section = ready(bench, widget, long())
        section.ui.goOnBox.setChecked(goesOn)
        folder = begun(bench, section).folder
    if goesOn:
        assert is_alive(folder)
        with opened() as widget:
            section = widget.panel.train
            assert section.ui.goOnBox.isChecked()
            assert section.training.folder == folder, "it is followed again"
            assert not section.ui.formArea.isVisible()
            before = read_standing(folder).fraction
            bench.wait(lambda: section.training.standing.fraction > before, what="its progress")
            assert "denoiser chen" in section.ui.trainingLabel.text
            bench.click(section.ui.pauseButton)
            ended(bench, section.training)
    bench.wait(lambda: not is_alive(folder), what="the end")
    assert read_standing(folder).state is State.PAUSED
    assert (folder / "checkpoints" / "denoiser-chen.safetensors").is_file()


def test_what_is_missing_is_said_before_it_starts(bench, opened, tmp_path):
    with opened() as widget:
        section = ready(bench, widget)
        data = section.panel.data
        bench.click(section.ui.tickButton)  # again: none
        assert "Tick the series" in section.ui.costLabel.text
        assert not section.ui.startButton.isEnabled()
        with pytest.raises(DataError, match="nothing to train on"):
            widget.logic.train("quick", [], tmp_path / "run")
        assert not (tmp_path / "run").exists()
        tick(data, "P001-chest")
        assert section.ui.splitLabel.text == "1 training"
        bench.wait(lambda: "Takes about" in section.ui.costLabel.text, what="the cost")
        assert "One patient only" in section.ui.costLabel.text
        assert section.ui.startButton.isEnabled()
        for box in section._boxes.values():
            box.setChecked(False)
        bench.wait(lambda: section.ui.costLabel.text == "Choose a denoiser.", 60, "the sentence")
        assert not section.ui.startButton.isEnabled()


def tick(data, patient):
    """Tick the first series of a patient."""
    from PySide6.QtCore import Qt

    tops = [data.ui.tree.topLevelItem(k) for k in range(data.ui.tree.topLevelItemCount)]
    (top,) = (item for item in tops if patient in item.text(0))
    top.child(0).child(0).setCheckState(0, Qt.CheckState.Checked)


def test_too_little_memory_is_said_before_it_starts(bench, opened):
    with opened() as widget:
        values = small().to_dict()
        values["flow"] |= {"patches": 1_000_000, "patch_size": 1024}
        section = ready(bench, widget, config_from_dict(values))
        bench.wait(lambda: "of memory, and" in section.ui.costLabel.text, what="the sentence")
        assert "The setting flow, " in section.ui.costLabel.text
        assert not section.ui.startButton.isEnabled()


def test_a_folder_that_cannot_be_used(bench, opened, tmp_path, tiny_models):
    with opened() as widget:
        section = ready(bench, widget, small())
        (tmp_path / "file").touch()
        for folder, told in (
            (tmp_path / "file" / "run", "cannot be written to"),
            (tiny_models, "here is a model set in this folder already"),
        ):
            section.ui.folderLine.setText(str(folder))
            bench.click(section.ui.startButton)
            bench.wait(lambda told=told: told in widget.panel.message.text, 60, told)
            assert section.training is None


def test_a_disk_that_is_full_when_it_starts(bench, opened, monkeypatch):
    from CTInvarianceLib.config import run_folder

    def full(value):
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened() as widget:
        section = ready(bench, widget, small())
        monkeypatch.setattr(run_folder, "json_text", full)
        bench.click(section.ui.startButton)
        bench.wait(lambda: "No space left" in widget.panel.message.text, what="the sentence")
        assert not (section.folder / "request.json").exists(), "half a request is none"


def test_two_cannot_train_into_one_folder(bench, opened):
    with opened() as widget:
        section = ready(bench, widget, small())
        with being_alive_elsewhere(section.folder):
            bench.click(section.ui.startButton)
            bench.wait(lambda: section.training is not None, what="the other training")
            assert section.training.standing.pid == 1, "it is followed, and nothing is started"
            assert not section.training.job.finished


@contextmanager
def being_alive_elsewhere(folder):
    """Somebody else trains there."""
    begin_run(folder, {})
    write_standing(folder, Standing(State.RUNNING, 1, {"data": 0.5}, "data", 0.1))
    with being_alive(folder):
        yield
    write_standing(folder, Standing(State.CANCELLED))


def test_settings_become_a_configuration(bench, opened):
    with opened() as widget:
        section = ready(bench, widget)
        wanted = preset("quick")
        assert section.configuration() == wanted
        section.ui.stepsBox.setValue(0.5)
        section.ui.trainSeedBox.setValue(3)
        section.ui.trainDoseBox.setValue(0.1)
        section._boxes["yang"].setChecked(False)
        found = section.configuration()
        assert list(found.denoisers) == ["chen"]
        assert found.denoisers["chen"].steps == round(0.5 * wanted.denoisers["chen"].steps)
        assert found.flow.steps == round(0.5 * wanted.flow.steps)
        assert (found.seed, found.data.dose, found.accelerator) == (3, 0.1, "auto")
        assert replace(found.flow, steps=0) == replace(wanted.flow, steps=0)


def test_the_split_that_is_shown_is_that_of_a_run_on_what_is_ticked(bench, opened, tiny_source):
    from CTInvarianceLib import find_pairs
    from CTInvarianceLib.sources import anatomies, split_patients

    with opened() as widget:
        section = ready(bench, widget)
        people = anatomies(find_pairs(tiny_source))
        bench.click(section.ui.tickButton)  # none
        for ticked in (
            ("P001-chest",),
            ("P001-chest", "P003-head"),
            ("P001-chest", "P003-head", "P002-abdomen"),
        ):
            tick(section.panel.data, ticked[-1])
            tree = section.panel.data.ui.tree
            rows = [tree.topLevelItem(k) for k in range(3)]
            shown = {row.text(0).partition("(")[2][:-1]: row.text(3) for row in rows}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # one patient only
                split = split_patients({name: people[name] for name in ticked}, preset("quick").data, seed=0)
            for part in ("training", "validation"):
                assert sorted(name for name in shown if shown[name] == part) == split[part]
            assert len(section.panel.data.tickedPairs()) == len(ticked)


def test_what_is_downloaded_is_asked_about(bench, opened):
    with opened() as widget:
        section = ready(bench, widget)
        section.ui.presetBox.setCurrentIndex(section.ui.presetBox.findData("slides"))
        bench.answers.append(False)
        bench.click(section.ui.startButton)
        assert "548 MB" in bench.messages[-1].text
        assert section.training is None
        assert not section.folder.exists()


def test_the_device_that_is_chosen_computes(bench, opened):
    with opened() as widget:
        box = widget.panel.setup.ui.deviceBox
        bench.wait(lambda: box.findData("cpu") >= 0, what="the worker's devices")
        there = [box.itemData(k) for k in range(box.count)]
        assert there[0] == "auto"
        assert set(there[1:]) <= {"cuda", "mps", "cpu"}
        pid = widget.logic.jobs.process.pid
        bench.wait(lambda: not widget.logic.jobs.unfinished, what="quiet")
        widget.panel.setup.button.collapsed = False
        box.setCurrentIndex(box.findData("cpu"))
        assert widget.logic.device()["device"] == "cpu"
        assert widget.logic.jobs.process.pid != pid, "another worker, on the device that was chosen"
        assert ready(bench, widget).configuration().accelerator == "cpu"
    with opened() as widget:
        box = widget.panel.setup.ui.deviceBox
        assert box.itemData(box.currentIndex) == "cpu"
