"""What an embedding keeps: the measures against blurs with a known transfer function, and the bounds on real CT."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import CTInvarianceLib as cti
from CTInvarianceLib.base import Reporter
from CTInvarianceLib.config import preset
from CTInvarianceLib.data import Patches, PatientSlices
from CTInvarianceLib.report import at_half_nyquist, edge_transfer, spectrum_kept, tissue_rmse
from CTInvarianceLib.report.fidelity import HALF_NYQUIST
from CTInvarianceLib.tensors import denormalize, normalize
from CTInvarianceLib.training import Run, make_fabric, plan_work, train_embedding

pytestmark = pytest.mark.usefixtures("one_thread")

VALIDATION = "bellona_chest_abd_siemens"
NOISE_HU = 15.6  # of that patient's soft tissue


@pytest.fixture(scope="module")
def bones() -> np.ndarray:
    """Rods of bone in muscle, a little soft at their edges, as an image of 2 slices; (2, 256, 256) HU."""
    rows, columns = np.mgrid[:256, :256]
    image = np.full((2, 256, 256), 50.0)
    for k, (j, i, side) in enumerate([(60, 70, 24), (170, 90, 36), (120, 190, 30)]):
        image[:, (abs(rows - j) < side) & (abs(columns - i) < side)] = 700 + 100 * k
    return gaussian_filter(image, (0, 0.6, 0.6))


@pytest.mark.parametrize("sigma", [0.4, 0.7, 1.0])
def test_edges_and_spectrum_of_a_blur_are_its_transfer_function(bones, sigma):
    blurred = gaussian_filter(bones, (0, sigma, sigma), truncate=8)
    offsets = np.arange(-8, 9)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)  # of the filter, which is sampled at whole pixels
    expected = float((weights * np.cos(2 * np.pi * HALF_NYQUIST * offsets)).sum() / weights.sum())
    assert at_half_nyquist(edge_transfer(blurred, bones)) == pytest.approx(expected, rel=0.06)
    noise = np.random.default_rng(0).normal(0, 20, (4, 128, 128))
    kept = at_half_nyquist(spectrum_kept(gaussian_filter(noise, (0, sigma, sigma), truncate=8), noise))
    assert kept == pytest.approx(expected**2, rel=0.08)


def test_an_image_keeps_all_of_itself_and_nothing_of_another_scale(bones):
    assert at_half_nyquist(edge_transfer(bones, bones)) == pytest.approx(1)
    assert at_half_nyquist(edge_transfer(0.5 * bones, bones)) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="no bone edges"):
        edge_transfer(bones * 0, bones * 0)


def test_errors_are_told_by_tissue():
    original = np.array([[[-1000.0, -700.0, 40.0, 100.0, 800.0]]])
    decoded = original + np.array([1.0, 2.0, 3.0, 4.0, -12.0])
    found = tissue_rmse(decoded, original)
    assert found["lung"] == pytest.approx(2)
    assert found["soft tissue"] == pytest.approx(12.5**0.5)
    assert found["bone"] == pytest.approx(12)
    assert found["all"] == pytest.approx((174 / 5) ** 0.5)
    assert np.isnan(tissue_rmse(decoded[..., :1] - 5, original[..., :1])["bone"])


@pytest.fixture(scope="module")
def volumes(shared_data) -> dict[str, np.ndarray]:
    return {path.stem: cti.read_volume(path).hu for path in sorted((shared_data / "volumes").glob("*.nrrd"))}


def kept_of_a_patient_not_seen(volumes, folder, steps: int) -> tuple[float, float]:
    """RMSE in soft tissue, HU, and edges kept at half of Nyquist, after a fraction of the quick preset's work."""
    original = volumes[VALIDATION].astype(np.float64)
    patches = Patches([PatientSlices(name, hu, hu) for name, hu in volumes.items() if name != VALIDATION])
    quick = preset("quick")
    less = dataclasses.replace(quick.embedding, kind="spatial", steps=steps, patch_size=64, batch_size=8)
    config = dataclasses.replace(quick, embedding=less)
    report = Reporter(lambda e: None, plan_work(config))
    run = Run(config, folder, make_fabric(config), report, patches, patches, origin={"run": "a test"})
    embedding = train_embedding(run, "full")
    with torch.inference_mode():
        x = normalize(torch.from_numpy(original.astype(np.float32)))[:, None].to(run.fabric.device)
        decoded = denormalize(embedding.decode(embedding.encode(x).mean))[:, 0].cpu().numpy()
    return tissue_rmse(decoded, original)["soft tissue"], at_half_nyquist(edge_transfer(decoded, original))


@pytest.mark.slow
def test_the_spatial_embedding_loses_less_of_real_ct_than_its_noise(volumes, tmp_path):
    """The issue of this embedding asks for 45 HU, and for 22 after an hour."""
    rmse, edges = kept_of_a_patient_not_seen(volumes, tmp_path, steps=100)
    assert rmse < NOISE_HU
    assert edges > 0.8


@pytest.mark.slow
def test_an_embedding_that_has_not_learned_loses_much_more(volumes, tmp_path):
    rmse, _ = kept_of_a_patient_not_seen(volumes, tmp_path, steps=1)
    assert rmse > 3 * NOISE_HU
