"""Which way slices lie: axial ones are those of a scan, all others are turned or refused."""

from __future__ import annotations

import warnings
from itertools import permutations, product

import numpy as np
import pytest

from CTInvarianceLib.base import GeometryWarning, VolumeError
from CTInvarianceLib.volumes import CTVolume, axial_order, plane_of, require_axial


def grid(axes, spacing=(0.7, 0.8, 2.5)) -> np.ndarray:
    """The affine whose i, j and k run along these patient axes (0 = x), backwards where the sign says so."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(axes, float).T * spacing
    return affine


def about_x(degrees: float, *, step_along_z: bool = False) -> np.ndarray:
    """Axial slices, tilted; `step_along_z`: as a tilted gantry takes them."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return grid([(1, 0, 0), (0, c, s), (0, 0, 1) if step_along_z else (0, -s, c)])


def volume(affine: np.ndarray) -> CTVolume:
    return CTVolume(np.zeros((4, 5, 6), np.int16), affine, "scan.nrrd")


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_axes_come_into_axial_order_and_are_never_turned_over(order, signs):
    axes = np.eye(3)[list(order)] * np.array(signs)[:, None]
    affine = grid(axes)
    i, j, k = axial_order(affine)
    assert sorted((i, j, k)) == [0, 1, 2]
    assert abs(affine[2, k]) > 0
    if order[2] == 2:  # axial as it is
        assert (i, j, k) == (0, 1, 2)
    else:
        assert abs(affine[0, i]) > 0
        assert plane_of(affine) == ("sagittal", "coronal")[order[2]]
    assert plane_of(affine[:, (i, j, k, 3)]) == "axial"


@pytest.mark.parametrize("degrees", [-40, 0, 20, 44])
def test_slices_that_are_nearer_to_axial_than_to_anything_else_are_left(degrees):
    assert axial_order(about_x(degrees)) == (0, 1, 2)


def test_slices_halfway_are_left_too():
    assert axial_order(about_x(45)) == (0, 1, 2)
    assert axial_order(about_x(46)) == (0, 2, 1)


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (grid([(1, 0, 0), (0, 0, -1), (0, 1, 0)]), "coronal, 90 degrees from axial"),
        (grid([(0, 1, 0), (0, 0, -1), (1, 0, 0)]), "sagittal, 90 degrees from axial"),
        (about_x(40), "axial, 40 degrees from axial"),
        (about_x(-50), "coronal, 50 degrees from axial"),
    ],
)
def test_slices_that_no_scanner_takes_are_refused(affine, words):
    with pytest.raises(VolumeError, match=rf"its slices are {words}.*scan\.nrrd"):
        require_axial(volume(affine))


@pytest.mark.parametrize("affine", [about_x(0), about_x(3), about_x(30, step_along_z=True), grid(-np.eye(3))])
def test_scanned_slices_pass_in_silence(affine):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require_axial(volume(affine))


@pytest.mark.parametrize("degrees", [6, 20, -30])
def test_oblique_slices_are_named(degrees):
    with pytest.warns(GeometryWarning, match=rf"oblique, {abs(degrees)} degrees from axial.*scan\.nrrd"):
        require_axial(volume(about_x(degrees)))
