"""What the tests of the panel share: a bench with the panel in it, a volume, a model set."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import slicer

SIZE, SLICES = 96, 3


def ct(seed: int = 0, shape=(SLICES, SIZE, SIZE)) -> np.ndarray:
    """A body of water with a bone and noise, HU int16."""
    rows, columns = np.indices(shape[1:]) - np.array(shape[1:]).reshape(2, 1, 1) / 2
    body = np.hypot(rows, 1.2 * columns) < 0.45 * shape[1]
    bone = np.hypot(rows - 8, columns) < 6
    image = np.where(bone, 800.0, np.where(body, 40.0, -1000.0))
    return (image + np.random.default_rng(seed).normal(0, 15, shape)).astype(np.int16)


def add_volume(array: np.ndarray | None = None, name: str = "CT Bauch", matrix=None):
    """A scalar volume in the scene, anisotropic and oblique where nothing else is said."""
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(volume, ct() if array is None else array)
    turned = np.deg2rad(20)
    axes = np.array([[np.cos(turned), np.sin(turned), 0], [-np.sin(turned), np.cos(turned), 0], [0, 0, 1.0]])
    default = np.eye(4)
    default[:3] = np.column_stack([axes * (-0.7, -0.8, 2.5), (31.5, 12.25, -205.0)])
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(default if matrix is None else matrix))
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(500, 30)
    return volume


@contextmanager
def panel_with(bench, models: Path, home: Path, monkeypatch, *, again: bool = False):
    """The panel on the bench; its model set lies in a folder with an awkward name, `again`: perhaps already."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    long = "Größe und Länge " + "x" * 120
    folder = home / "Documents" / "CTInvariance" / long
    shutil.copytree(models, folder, dirs_exist_ok=again)
    widget = bench.load_module("CTInvariance")
    bench.enter()
    try:
        yield widget
        assert not bench.errors, bench.errors
    finally:
        bench.close()
        slicer.mrmlScene.Clear(0)


def press(bench, section, button):
    """Click a button of Explore and wait until what it began has ended; returns the job."""
    jobs = []
    follow = section.follow
    section.follow = lambda job, show: (jobs.append(job), follow(job, show))
    bench.click(button)
    del section.follow
    return finish(bench, jobs[0]) if jobs else None


def finish(bench, job):
    """Wait until a job has ended."""
    bench.wait(lambda: job.finished, what=job.title)
    return job


def explore(bench, widget, volume=None, *, n=12, size=32):
    """Choose everything in Explore; returns the section."""
    section = widget.panel.explore
    section.parameters.inputVolume = volume or add_volume()
    section.ui.countBox.setValue(n)
    section.ui.sizeBox.setValue(size)
    section.ui.denoiserBox.setCurrentIndex(section.ui.denoiserBox.findData("yang"))
    bench.wait(lambda: section.description is not None, what="the description of the models")
    return section
