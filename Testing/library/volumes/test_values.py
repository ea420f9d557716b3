"""Values that are hardly HU are named; what may be HU is not."""

from __future__ import annotations

import numpy as np
import pytest

from CTInvarianceLib.base import HounsfieldWarning
from CTInvarianceLib.volumes import CTVolume, hardly_hu, open_foreign_hu, open_hu, padded, warn_of_values

RNG = np.random.default_rng(0)


def body(pixel_mm: float = 2.0, size: int = 64) -> np.ndarray:
    """Noisy soft tissue with bone, lung and fat in air, HU, (2, size, size)."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    hu = np.full((2, size, size), -1000.0)
    hu[:, x**2 + 1.4 * y**2 < 0.8] = -100
    hu[:, x**2 + 1.4 * y**2 < 0.7] = 50
    hu[:, (abs(x) - 0.3) ** 2 + y**2 < 0.03] = -850
    hu[:, x**2 + (y - 0.4) ** 2 < 0.01] = 900
    return hu + RNG.normal(0, 15, hu.shape)


def volume(values: np.ndarray, pixel_mm: float = 2.0) -> CTVolume:
    return CTVolume(values, np.diag([pixel_mm, pixel_mm, 3, 1]), "scan.nrrd")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda hu: hu + 1024, "shifted, by 1024"),
        (lambda hu: np.clip(hu + 1000, 0, None), "hardly HU"),
        (lambda hu: (hu + 1024).clip(0).astype(np.uint16), "shifted, by 1024"),
        (lambda hu: hu + 32768, "shifted, by some"),
        (lambda hu: hu + 8192, "shifted, by some"),
        (lambda hu: hu - 1024, "next to none above -200 HU as tissue is"),
        (lambda hu: padded((hu - 1024).astype(np.float32)), "next to none above -200 HU as tissue is"),
        (lambda hu: (hu + 1024) / 4096, "scaled"),
        (lambda hu: hu / 1000, "scaled"),
        (lambda hu: 0.19 * (1 + hu / 1000), "scaled"),
        (lambda hu: np.clip((hu + 160) / 400, 0, 1) * 2 - 1, "scaled"),
        (lambda hu: np.clip((hu + 1000) / 2000 * 255, 0, 255).astype(np.uint8), "scaled to 0 to 255"),
        (lambda hu: np.clip(hu, -160, 240), "clipped at -160"),
        (lambda hu: np.clip(hu, -500, None).astype(np.int16), "clipped at -500"),
    ],
)
def test_values_that_are_hardly_hu(change, words):
    assert words in hardly_hu(volume(change(body())))
    with pytest.warns(HounsfieldWarning, match=rf"{words}.*scan\.nrrd"):
        warn_of_values(volume(change(body())))


@pytest.mark.parametrize(
    "values",
    [
        body(),
        body().astype(np.int16),
        np.clip(body(), -1024, 3071),
        np.where(body() < -900, -1024, body()),
        body() + RNG.normal(0, 60, (2, 64, 64)),
        body() + RNG.normal(0, 150, (2, 64, 64)),
        np.clip(body(), -1000, None),
        np.zeros((2, 64, 64)),
    ],
    ids=[
        "plain",
        "whole",
        "clipped as scanners do",
        "padded",
        "quarter dose",
        "a twentieth",
        "air cut off",
        "constant",
    ],
)
def test_values_that_may_be_hu(values):
    assert hardly_hu(volume(values)) == ""


def test_a_cut_through_soft_tissue_tells_nothing():
    """No air is in it, nor need there be."""
    liver = 60 + RNG.normal(0, 8, (1, 64, 64))
    assert hardly_hu(volume(liver, pixel_mm=0.8)) == ""
    assert hardly_hu(volume(liver, pixel_mm=2.0)) != ""


def test_a_cut_through_fat_and_bone_is_no_shift():
    belly = np.clip(body()[:, 10:54, 10:54], -150, None) + RNG.normal(0, 9, (2, 44, 44))
    assert hardly_hu(volume(belly, pixel_mm=3.0)) == ""


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_padding_is_replaced_and_nothing_else(dtype):
    hu = np.array([[[-3024, -2048, -2000, -1999, -1024, 3071]]], dtype)
    assert padded(hu).ravel().tolist() == [-1024, -1024, -1024, -1999, -1024, 3071]
    assert padded(np.array([[[0, 65535]]], np.uint16)).ravel().tolist() == [0, 65535]


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_padding_of_another_program_is_replaced_and_its_file_is_not(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.array([[[-3024, -1024, 40]]], dtype))
    assert open_foreign_hu(tmp_path / "a.npy").ravel().tolist() == [-1024, -1024, 40]
    assert open_hu(tmp_path / "a.npy").ravel().tolist() == [-3024, -1024, 40]
