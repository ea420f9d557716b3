"""What goes wrong, and what people are told: the panel stays usable, and nothing is left running."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
from panel_bench import add_volume, ct, explore, finish, press


def alive(pid: int) -> bool:
    """Whether a process runs; one that is only waiting to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


def busy(bench, widget, n=5000):
    """A job that takes long, under way."""
    section = explore(bench, widget, n=n, size=96)
    bench.click(section.ui.sampleButton)
    job = section.job
    bench.wait(lambda: job.progress > 0, what="progress")
    return section, job


def usable(bench, widget):
    """Sampling works."""
    section = explore(bench, widget, n=3)
    assert press(bench, section, section.ui.sampleButton).state == "done"


def test_a_killed_worker_is_told_and_started_anew(panel):
    bench, widget = panel
    _, job = busy(bench, widget)
    os.kill(widget.logic.jobs.process.pid, signal.SIGKILL)
    finish(bench, job)
    assert job.state == "failed"
    assert "worker process was killed" in widget.panel.message.text
    assert "Try again" in widget.panel.message.text
    usable(bench, widget)


def test_every_job_of_a_worker_that_dies_ends_and_the_signal_is_named(panel):
    bench, widget = panel
    _, running = busy(bench, widget)
    waiting = widget.logic.device(wait=False)
    bench.wait(lambda: widget.logic.jobs._running[waiting.id]._sent, what="the request to be sent")
    os.kill(widget.logic.jobs.process.pid, signal.SIGBUS)
    for job in (running, waiting):
        finish(bench, job)
        assert job.state == "failed"
        assert "was killed or crashed (SIGBUS)" in str(job.error)
    assert not widget.logic.jobs.unfinished
    usable(bench, widget)


def test_closing_the_scene_stops_the_work(panel):
    bench, widget = panel
    section, job = busy(bench, widget)
    slicer.mrmlScene.Clear(0)
    finish(bench, job)
    assert job.state == "cancelled"
    assert section.patch is None
    assert not section.ui.sampleButton.isEnabled()
    assert not slicer.util.getNodesByClass("vtkMRMLSequenceNode")
    usable(bench, widget)


def test_the_volume_removed_while_it_is_sampled(panel):
    bench, widget = panel
    section = explore(bench, widget, n=40)
    volume = section.parameters.inputVolume
    bench.click(section.ui.sampleButton)
    job = section.job
    slicer.mrmlScene.RemoveNode(volume)
    finish(bench, job)
    assert job.state in ("failed", "cancelled")
    assert not slicer.util.getNodesByClass("vtkMRMLSequenceNode")
    usable(bench, widget)


def test_a_worker_that_does_not_listen_is_terminated(panel, monkeypatch):
    bench, widget = panel
    section, job = busy(bench, widget)
    monkeypatch.setattr("CTInvariancePanel.jobs.process.ASK_MS", 200)
    pid = widget.logic.jobs.process.pid
    os.kill(pid, signal.SIGSTOP)  # it hears nothing now
    monkeypatch.setattr("CTInvariancePanel.jobs.process.TERMINATE_MS", 200)
    bench.click(section.ui.cancelButton)
    finish(bench, job)
    assert job.state == "cancelled"
    bench.wait(lambda: not alive(pid), what="the end of the worker")
    usable(bench, widget)


def test_clicking_sample_twice_samples_once(panel):
    bench, widget = panel
    section = explore(bench, widget, n=3)
    section.ui.sampleButton.click()
    section.ui.sampleButton.click()
    finish(bench, section.job)
    assert len(slicer.util.getNodesByClass("vtkMRMLSequenceNode")) == 1


def test_two_jobs_from_the_console_are_done_one_after_the_other(panel):
    bench, widget = panel
    volume = add_volume()
    jobs = [
        widget.logic.sampleInvariances(volume, denoiser="yang", layer="8", count=3, seed=k, wait=False)
        for k in range(2)
    ]
    for job in jobs:
        assert finish(bench, job).state == "done", job.error
    assert [each.browser.GetAttribute("CTInvariance.seed") for each in widget.logic.results()] == ["0", "1"]


def test_a_full_disk_is_named(panel, monkeypatch):
    """/dev/full takes nothing: the error is the operating system's own."""
    bench, widget = panel
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    section = explore(bench, widget, n=3)
    with monkeypatch.context() as context:
        context.setattr(widget.logic.jobs.scratch, "new", lambda suffix="": Path("/dev/full"))
        job = press(bench, section, section.ui.denoiseButton)
    assert job.state == "failed"
    assert "disk is full" in widget.panel.message.text
    assert "Free space" in widget.panel.message.text
    usable(bench, widget)


def test_the_scratch_folder_swept_away_is_made_anew(panel):
    bench, widget = panel
    usable(bench, widget)
    widget.logic.jobs.scratch.remove()
    usable(bench, widget)


@pytest.mark.parametrize("slices", [1, 2])
def test_few_slices_are_enough(panel, slices):
    bench, widget = panel
    section = explore(bench, widget, add_volume(ct(shape=(slices, 96, 96))), n=3)
    assert press(bench, section, section.ui.sampleButton).state == "done"


def test_a_patch_at_the_border_is_moved_inside(panel):
    bench, widget = panel
    volume = add_volume()
    section = explore(bench, widget, volume)
    crosshair = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    from CTInvariancePanel.nodes import ijkToWorld

    crosshair.SetCursorPositionRAS(ijkToWorld(volume, (0, 95, 1)))
    bench.click(section.ui.crosshairButton)
    assert (section.patch.left, section.patch.top) == (0, 64)
    assert "moved inside" in section.ui.placeLabel.text
    crosshair.SetCursorPositionRAS([5000.0, 0.0, 0.0])
    bench.click(section.ui.crosshairButton)
    assert "outside the volume" in section.ui.placeLabel.text


def test_a_patch_larger_than_the_volume(panel):
    bench, widget = panel
    section = explore(bench, widget, size=128)
    assert "smaller than the patch" in section.ui.placeLabel.text
    assert not section.ui.sampleButton.isEnabled()


def test_mr_is_refused(panel):
    bench, widget = panel
    volume = add_volume()
    volume.SetAttribute("DICOM.Modality", "MR")
    section = explore(bench, widget, volume)
    assert "modality MR" in section.ui.placeLabel.text
    assert not section.ui.sampleButton.isEnabled()
    assert not section.ui.denoiseButton.isEnabled()


def test_values_that_are_not_finite_are_named(panel):
    bench, widget = panel
    array = ct().astype(np.float32)
    array[1, 5, 5] = np.nan
    section = explore(bench, widget, add_volume(array))
    bench.wait(lambda: "NaN" in section.ui.placeLabel.text, what="the message")
    assert not section.ui.denoiseButton.isEnabled()
    assert "slice 1" in section.ui.placeLabel.text
    usable(bench, widget)


def test_reloading_the_module_ends_its_worker(new_panel):
    bench, widget = new_panel
    _, job = busy(bench, widget)
    pid, scratch = widget.logic.jobs.process.pid, widget.logic.jobs.scratch.folder
    again = bench.reload()
    assert job.state == "cancelled"
    bench.wait(lambda: not alive(pid), what="the end of the worker")
    assert not scratch.exists()
    usable(bench, again)


def test_leaving_ends_the_worker_and_removes_the_scratch_folder(bench, open_panel):
    with open_panel() as widget:
        _, job = busy(bench, widget)
        pid, scratch = widget.logic.jobs.process.pid, widget.logic.jobs.scratch.folder
    assert job.state == "cancelled", "it has not waited for the work to end"
    assert not alive(pid)
    assert not scratch.exists()


def test_a_model_set_that_is_damaged(new_panel):
    bench, widget = new_panel
    section = explore(bench, widget)
    (folder,) = widget.logic.modelSets().values()
    (folder / "flows" / "yang-8-low.safetensors").write_bytes(b"")
    section.ui.countBox.setValue(3)
    assert press(bench, section, section.ui.sampleButton).state == "failed"
    assert "yang-8-low" in widget.panel.message.text


def test_a_model_set_of_another_version(new_panel, tmp_path):
    _bench, widget = new_panel
    (folder,) = widget.logic.modelSets().values()
    manifest = folder / "models.json"
    manifest.write_text(manifest.read_text().replace('"version": 2', '"version": 1'))
    widget.panel.explore.refreshModels()
    assert "version 1" in widget.panel.message.text
    assert not widget.panel.explore.ui.sampleButton.isEnabled()


def test_no_database_and_an_empty_one(new_panel, tmp_path):
    from bench.dicom_database import DicomDatabase

    bench, widget = new_panel
    data = widget.panel.data
    bench.wait(lambda: "not open" in data.ui.dataLabel.text, what="the hint")
    slicer.dicomDatabase = DicomDatabase()
    slicer.dicomDatabase.openDatabase(str(tmp_path / "leer"))
    try:
        bench.enter()
        bench.wait(lambda: "empty" in data.ui.dataLabel.text, what="the hint")
    finally:
        bench.close()
        slicer.dicomDatabase.closeDatabase()
        slicer.dicomDatabase = None
