"""What the command line wrote, opened by Slicer's own MRML."""

from __future__ import annotations

import json

import numpy as np
import pytest

from CTInvarianceLib.report import write_samples
from CTInvarianceLib.sampling import Samples
from CTInvarianceLib.trust import Evidence
from CTInvarianceLib.volumes import CTVolume

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
samples_module = pytest.importorskip("CTInvariancePanel.nodes.samples")
from CTInvariancePanel import words  # noqa: E402
from CTInvariancePanel.nodes import factsOf  # noqa: E402

AFFINE = np.array([[0, 0.7, 0, -31.5], [0.7, 0, 0, 12.25], [0, 0, -3, -205.0], [0, 0, 0, 1.0]])
LPS_TO_RAS = np.diag([-1.0, -1, 1, 1])


N = 7


def evidence(scale=1.0) -> Evidence:
    each = scale * np.linspace(0.5, 1, N)
    return Evidence(
        misfit=each,
        distances=each,
        output_change=3 * each,
        output_change_95=6 * each,
        output_change_most=9 * each,
        passes=0.3,
        noise_passes=0.4,
        displaced_passes=0.35,
        arrives=2.5 * scale,
        noise_arrives=0.1,
    )


def drawn_images(shape, seed=0) -> Samples:
    images = np.random.default_rng(seed).normal(40, 20, (N, *shape)).astype(np.float32)
    return Samples(
        patch=images[0],
        denoised=images[1],
        target=images[2],
        embedded=images[3],
        images=images,
        invariances=images[:, 0],
        latents=images[:, 1],
        tolerance=0.25,
        tolerance_hu=1.5,
        epsilon=0.01,
        noise_hu=27.0,
        noise_from="image",
        closed_form=8.0,
        moved=np.linspace(0, 2, N),
        proposed_spread=21.0,
        proposed_misfit=np.full(N, 1.2),
        evidence=evidence(1 + seed),
        consistency=np.linspace(0, 1, N),
        floor=1.0,
        ceiling=9.0,
        corrected=True,
        from_flow=True,
        layer="3",
        domain="low",
        seed=5 + seed,
    )


@pytest.fixture
def written(tmp_path):
    drawn = drawn_images((32, 32))
    folder = tmp_path / "männlich 1"
    write_samples([drawn], CTVolume(drawn.images[:1], AFFINE), folder, denoiser="chen")
    return folder, drawn


def test_samples_are_a_sequence_with_mean_and_std_at_their_place(written):
    folder, drawn = written
    scene = slicer.vtkMRMLScene()
    nodes = samples_module.loadSamples(folder, scene)
    assert nodes.sequence.GetNumberOfDataNodes() == 7
    assert nodes.browser.GetNumberOfItems() == 7
    for index in range(7):
        volume = nodes.sequence.GetNthDataNode(index)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume)[0], drawn.images[index])
        np.testing.assert_allclose(ijk_to_ras(volume), LPS_TO_RAS @ AFFINE, atol=1e-6)
    np.testing.assert_allclose(slicer.util.arrayFromVolume(nodes.mean)[0], drawn.mean, atol=1e-4)
    np.testing.assert_allclose(slicer.util.arrayFromVolume(nodes.std)[0], drawn.std, atol=1e-4)
    np.testing.assert_allclose(ijk_to_ras(nodes.std), LPS_TO_RAS @ AFFINE, atol=1e-6)
    assert nodes.mean.GetAttribute("CTInvariance.layer") == "3"
    assert nodes.sample.GetImageData().GetDimensions() == (32, 32, 1)
    assert nodes.mean.GetName() == "Mean · chen layer 3 τ 0.25"


def test_figures_are_those_of_a_draw_of_the_panel(written):
    folder, drawn = written
    facts = factsOf(samples_module.loadSamples(folder, slicer.vtkMRMLScene()).browser)
    for key, value in (
        ("tolerance", 0.25),
        ("spread", drawn.spread),
        ("misfit_max", 1.0),
        ("arrives", 2.5),
        ("visibility", 0.75),
    ):
        assert float(facts[key]) == pytest.approx(value)
    assert facts["noise_from"] == "image"
    assert not {"invariance", "consistency", "R"} & set(facts)
    assert words.verdictOf(facts).grade == words.GOOD


def test_what_an_earlier_version_wrote_is_loaded_and_told(written):
    folder, _ = written
    table = json.loads((folder / "table.json").read_text("utf-8"))
    table.pop("tolerance", None)
    del table["invariance"]
    (folder / "table.json").write_text(json.dumps(table), "utf-8")
    nodes = samples_module.loadSamples(folder, slicer.vtkMRMLScene())
    assert nodes.mean.GetName() == "Mean · chen layer 3"
    assert "earlier version" in words.verdictOf(factsOf(nodes.browser)).sentence


def test_a_slab_is_a_sequence_of_volumes(tmp_path):
    slab = [drawn_images((24, 40), seed=k) for k in range(3)]
    geometry = CTVolume(np.stack([samples.patch for samples in slab]), AFFINE)
    write_samples(slab, geometry, tmp_path, denoiser="yang", slice=12)
    scene = slicer.vtkMRMLScene()
    nodes = samples_module.loadSamples(tmp_path, scene)
    assert nodes.sequence.GetNumberOfDataNodes() == nodes.browser.GetNumberOfItems() == 7
    for index in range(7):
        volume = nodes.sequence.GetNthDataNode(index)
        expected = np.stack([samples.images[index] for samples in slab])
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), expected)
        np.testing.assert_allclose(ijk_to_ras(volume), LPS_TO_RAS @ AFFINE, atol=1e-6)
    for node, name in ((nodes.mean, "mean"), (nodes.std, "std")):
        expected = np.stack([getattr(samples, name) for samples in slab])
        np.testing.assert_allclose(slicer.util.arrayFromVolume(node), expected, atol=1e-4)
        np.testing.assert_allclose(ijk_to_ras(node), LPS_TO_RAS @ AFFINE, atol=1e-6)
    assert nodes.sample.GetImageData().GetDimensions() == (40, 24, 3)
    assert nodes.mean.GetAttribute("CTInvariance.seed") == "5"
    facts = factsOf(nodes.browser)
    assert float(facts["misfit_max"]) == pytest.approx(3)
    assert float(facts["arrives"]) == pytest.approx(5)
    assert words.verdictOf(facts).grade == words.BAD


def test_a_missing_file_is_named_and_the_scene_stays_empty(written):
    folder, _ = written
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
