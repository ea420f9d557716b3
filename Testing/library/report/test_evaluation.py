"""Figures of denoised images, the window they are told in, and the page that shows them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from CTInvarianceLib.report import write_report
from CTInvarianceLib.report.evaluation import image_quality
from CTInvarianceLib.tensors import normalize


def normalised(hu: np.ndarray) -> torch.Tensor:
    return normalize(torch.from_numpy(hu.astype(np.float32)))[:, None]


@pytest.mark.parametrize(
    ("lung", "centre", "width"), [(0, 50, 400), (60, -250, 1500)], ids=["soft tissue", "with lung"]
)
def test_similarity_names_its_window_and_is_that_of_this_window(lung, centre, width):
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    truth = rng.normal(40, 10, (2, 64, 64))
    truth[:, :, :lung] = -800
    noisy = truth + rng.normal(0, 25, truth.shape)
    found = image_quality(normalised(noisy), normalised(truth))
    assert (found["window_centre_hu"], found["window_width_hu"]) == (centre, width)
    cut = [np.clip((image - centre) / width + 0.5, 0, 1) for image in (noisy, truth)]
    settings = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = np.mean([structural_similarity(a, b, **settings) for a, b in zip(*cut, strict=True)])
    assert found["ssim"] == pytest.approx(expected, abs=0.03)
    assert found["rmse_hu"] == pytest.approx(25, rel=0.05)


def test_the_page_hides_no_number_that_is_not_nothing(tmp_path):
    rows = [{"domain": "low", "rmse_hu": 0.0002, "visibility": 0.5, "kl": 0.0, "moved_hu": None}]
    write_report({"embedding": rows}, tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<td>low</td><td>&lt; 0.001</td><td>0.500</td><td>0</td><td>–</td>" in page
