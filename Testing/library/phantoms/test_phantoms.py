"""Phantoms: the same for a seed, the right HU in the right places, the right noise."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from CTInvarianceLib.base import ConfigError
from CTInvarianceLib.phantoms import KINDS, phantom, phantom_pair
from CTInvarianceLib.phantoms.canvas import Canvas, Texture, ellipse, oval, rod
from CTInvarianceLib.phantoms.skeleton import SPINE_MM

SEEDS = range(5)


def around(image: np.ndarray, x: float, y: float, radius: int = 2, pixel_mm: float = 1.5) -> np.ndarray:
    """Pixels around a position in mm."""
    row, column = (round(v / pixel_mm + (len(image) - 1) / 2) for v in (y, x))
    return image[row - radius : row + radius + 1, column - radius : column + radius + 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_a_patient(kind):
    first = phantom(kind, seed=7)
    assert first.shape == (256, 256)
    assert first.dtype == np.float32
    assert np.array_equal(first, phantom(kind, seed=7))
    others = [phantom(kind, seed=seed) for seed in (8, 9)]
    assert all(np.abs(first - other).mean() > 5 for other in others)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_body_lies_inside_the_field_and_hu_are_those_of_tissue(kind, seed):
    image = phantom(kind, seed=seed)
    rim = np.concatenate([image[:2].ravel(), image[-2:].ravel(), image[:, :2].ravel(), image[:, -2:].ravel()])
    assert (rim == -1000).all()
    assert image.min() > -1060
    assert image.max() < 1700
    body = image > -300
    assert {"chest": 0.2, "abdomen": 0.35, "head": 0.08}[kind] < body.mean() < 0.7
    assert (image > 600).mean() > 0.004, "bone"
    assert np.std(image[(image > 20) & (image < 70)]) > 1, "tissue is not piecewise constant"


@pytest.mark.parametrize("seed", SEEDS)
def test_chest_has_two_lungs_with_vessels_a_spine_and_an_aorta(seed):
    image = phantom("chest", seed=seed)
    for side in (-1, 1):
        lung = around(image, side * 82, 25, 12)
        assert -920 < np.median(lung) < -780
        assert lung.max() > -700, "vessels"
    assert 130 < np.median(around(image, *SPINE_MM)) < 330
    assert 15 < np.median(around(image, SPINE_MM[0], SPINE_MM[1] + 22, 1)) < 70, "canal"
    aorta = around(image, 25, 26, 1)
    assert 30 < aorta.mean() < 280
    assert (image[(image > -130) & (image < -70)]).size > 2000, "fat"


@pytest.mark.parametrize("seed", SEEDS)
def test_abdomen_has_liver_fat_and_spine(seed):
    image = phantom("abdomen", seed=seed)
    assert 25 < np.median(around(image, -92, -10, 3)) < 130
    assert 130 < np.median(around(image, *SPINE_MM)) < 330
    assert ((image > -125) & (image < -80)).mean() > 0.08
    assert ((image > 40) & (image < 130)).mean() > 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_head_has_skull_brain_and_ventricles(seed):
    image = phantom("head", seed=seed, pixel_mm=0.8)
    inside = np.hypot(*np.mgrid[-127.5:128, -127.5:128]) * 0.8 < 55
    assert 25 < np.median(image[inside]) < 40
    assert (image[inside] < 15).mean() > 0.02, "fluid"
    grey = ((image > 34.5) & (image < 40) & inside).mean() / inside.mean()
    white = ((image > 25) & (image < 31) & inside).mean() / inside.mean()
    assert grey > 0.15
    assert white > 0.15
    assert image.max() > 1000


def test_zoom_and_pixel_show_the_same_patient():
    wide = phantom("chest", seed=3, size=256, pixel_mm=1.5)
    zoomed = phantom("chest", seed=3, size=64, pixel_mm=1.5, center_mm=(15.0, 30.0))
    j, i = round(30 / 1.5) + 96, round(15 / 1.5) + 96
    np.testing.assert_allclose(zoomed, wide[j : j + 64, i : i + 64], atol=0.5)
    fine = phantom("chest", seed=3, size=128, pixel_mm=0.66, center_mm=(0.0, 50.0))
    assert (fine > 700).mean() > 0.05, "a vertebra fills the field"
    assert (fine < -700).mean() > 0.05, "between two lungs"


@pytest.mark.parametrize("kind", KINDS)
def test_anatomy_changes_smoothly_along_the_patient(kind):
    first, near, far = (phantom(kind, seed=2, size=128, pixel_mm=3.0, z_mm=z) for z in (0.0, 0.5, 12.0))
    assert 0 < np.abs(first - near).mean() < 0.35 * np.abs(first - far).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_have_the_noise_of_their_dose(kind):
    pair = phantom_pair(kind, seed=5, slices=2, pixel_mm=1.0 if kind == "head" else 1.5)
    assert pair.kind == kind
    assert pair.truth.shape == (2, 256, 256)
    assert pair.truth.spacing[2] == pytest.approx(3.0)
    assert np.array_equal(pair.low_dose.affine, pair.full_dose.affine)
    tissue = (pair.truth.hu > -20) & (pair.truth.hu < 150)
    full, low = ((v.hu - pair.truth.hu)[tissue] for v in (pair.full_dose, pair.low_dose))
    expected = (3.5, 6.5) if kind == "head" else (12, 22)
    assert expected[0] < full.std() < expected[1]
    assert 1.8 < low.std() / full.std() < 2.1
    assert 0.4 < np.corrcoef(full, low)[0, 1] < 0.6
    assert abs(low.mean()) < 0.1 * low.std()


def test_a_zoomed_pair_is_placed_and_as_noisy_as_the_whole():
    pair = phantom_pair("chest", seed=3, slices=1, size=128, pixel_mm=0.66, center_mm=(0.0, 50.0))
    x, y, _ = pair.truth.position(63.5, 63.5, 0)
    assert (x, y) == pytest.approx((0.0, 50.0))
    noise = pair.full_dose.hu - pair.truth.hu
    assert 12 < noise.std() < 26


def test_pairs_are_the_same_for_a_seed():
    one, again = (phantom_pair("head", seed=1, slices=1, size=64, pixel_mm=4.0, dose=0.1) for _ in range(2))
    assert np.array_equal(one.low_dose.hu, again.low_dose.hu)
    assert not np.array_equal(one.low_dose.hu, one.full_dose.hu)


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="knee"):
        phantom("knee", seed=0)
    with pytest.raises(ConfigError, match="seed"):
        phantom("head", seed=-1)
    with pytest.raises(ConfigError, match="positive"):
        phantom("head", seed=0, pixel_mm=0)
    with pytest.raises(ConfigError):
        phantom_pair("head", seed=0, size=32, pixel_mm=8.0, dose=0)
    with pytest.raises(ConfigError, match="slice"):
        phantom_pair("head", seed=0, slices=0, size=32, pixel_mm=8.0)


def test_texture_is_normal_and_periodic_fields_differ():
    texture = Texture(np.random.default_rng(0))
    x = np.arange(300, dtype=np.float32)
    field = texture(x, x, 3.0, 7.0)
    assert abs(field.mean()) < 0.1
    assert 0.85 < field.std() < 1.15
    assert abs(np.corrcoef(field.ravel(), texture(x, x, 3.0, 7.0, 4).ravel())[0, 1]) < 0.1


def test_shapes_are_about_distances_and_cover_their_area():
    canvas = Canvas.blank(Texture(np.random.default_rng(0)), 101, 1.0, (0.0, 0.0), 0.0, bend=0.0)
    r = np.hypot(canvas.x, canvas.y)
    near = np.abs(r - 30) < 4
    np.testing.assert_allclose(ellipse(canvas, 0, 0, 30, 30)[near], (r - 30)[near], atol=0.01)
    np.testing.assert_allclose(oval(canvas, 0, 0, 30, 30, 2.0)[near], (r - 30)[near], atol=0.01)
    assert canvas.coverage(ellipse(canvas, 0, 0, 30, 18, 0.4)).sum() == pytest.approx(
        np.pi * 30 * 18, rel=0.01
    )
    assert canvas.coverage(rod(canvas, (-20, 0), (20, 5), 6)).sum() == pytest.approx(
        12 * np.hypot(40, 5) + np.pi * 36, rel=0.01
    )


def test_phantoms_need_no_torch():
    code = "import sys, CTInvarianceLib.phantoms as p; p.phantom('head', seed=0, size=9); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
