"""What the command line wrote, opened by Slicer's own MRML."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from CTInvarianceLib.results import write_samples
from CTInvarianceLib.sampling import Samples
from CTInvarianceLib.volume import CTVolume

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
sys.path.insert(0, str(Path(__file__).parents[2] / "CTInvariance"))
samples_module = pytest.importorskip("CTInvariancePanel.samples")


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.normal(40, 20, (7, 32, 32)).astype(np.float32)
    affine = np.array([[0, 0.7, 0, -31.5], [0.7, 0, 0, 12.25], [0, 0, -3, -205.0], [0, 0, 0, 1.0]])
    drawn = Samples(
        *(images[i] for i in range(4)),
        images,
        images[:, 0],
        images[:, 1],
        np.linspace(0, 1, 7),
        1.0,
        9.0,
        "3",
        "low",
        5,
    )
    folder = tmp_path / "männlich 1"
    write_samples(drawn, CTVolume(images[:1], affine), folder, denoiser="chen")
    return folder, drawn, affine


def test_samples_are_a_sequence_with_mean_and_std_at_their_place(written):
    folder, drawn, affine = written
    scene = slicer.vtkMRMLScene()
    nodes = samples_module.loadSamples(folder, scene)
    assert nodes.sequence.GetNumberOfDataNodes() == 7
    assert nodes.browser.GetNumberOfItems() == 7
    lps_to_ras = np.diag([-1.0, -1, 1, 1])
    for index in range(7):
        volume = nodes.sequence.GetNthDataNode(index)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume)[0], drawn.images[index])
        np.testing.assert_allclose(ijk_to_ras(volume), lps_to_ras @ affine, atol=1e-6)
    np.testing.assert_allclose(slicer.util.arrayFromVolume(nodes.mean)[0], drawn.mean, atol=1e-4)
    np.testing.assert_allclose(slicer.util.arrayFromVolume(nodes.std)[0], drawn.std, atol=1e-4)
    np.testing.assert_allclose(ijk_to_ras(nodes.std), lps_to_ras @ affine, atol=1e-6)
    assert nodes.mean.GetAttribute("CTInvariance.layer") == "3"
    assert nodes.sample.GetImageData().GetDimensions() == (32, 32, 1)


def test_a_missing_file_is_named_and_the_scene_stays_empty(written):
    folder, *_ = written
    (folder / "std.nrrd").unlink()
    scene = slicer.vtkMRMLScene()
    before = scene.GetNumberOfNodes()
    with pytest.raises(FileNotFoundError, match=r"std\.nrrd is missing"):
        samples_module.loadSamples(folder, scene)
    assert scene.GetNumberOfNodes() == before


def ijk_to_ras(volume) -> np.ndarray:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)
