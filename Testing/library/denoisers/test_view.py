"""Regions in their window: what the whole image gives but for rounding, and how far a denoiser reaches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from closeness import ULPS, assert_same, ulps_apart
from torch import nn

from CTInvarianceLib.base import VolumeError
from CTInvarianceLib.denoisers import Chen, Identity, View, Yang, layers, reach, representation
from CTInvarianceLib.models import for_convolutions
from CTInvarianceLib.volumes import Region


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_regions(count, rows, columns, seed):
    """Regions of any size, half of them at a border."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        height, width = rng.integers(1, rows + 1), rng.integers(1, min(columns, 150) + 1)
        top, left = rng.integers(0, rows - height + 1), rng.integers(0, columns - width + 1)
        if index % 2:
            top, left = rng.choice([0, rows - height]), rng.choice([0, left, columns - width])
        yield Region(*map(int, (top, left, height, width)))


REGIONS = {
    (512, 512): [
        Region(0, 0, 128, 128), Region(384, 384, 128, 128), Region(100, 200, 128, 128), Region(37, 41, 95, 77),
        Region(5, 500, 1, 12), Region(511, 0, 1, 512), Region(300, 3, 64, 300),
    ],
    (200, 150): [
        Region(0, 0, 200, 150), Region(0, 0, 1, 1), Region(199, 149, 1, 1), Region(77, 0, 1, 150),
        Region(0, 60, 200, 1), Region(131, 93, 63, 55), *random_regions(12, 200, 150, seed=0),
    ],
    (40, 90): [Region(0, 0, 8, 90), Region(11, 60, 29, 30), Region(20, 30, 1, 7)],
}  # fmt: skip


@torch.inference_mode()
@pytest.mark.parametrize("size", REGIONS, ids=str)
@pytest.mark.parametrize("build", [Chen, lambda: Chen(last_kernel=5), Yang], ids=["chen", "chen5", "yang"])
def test_a_region_has_the_whole_images_representation(build, size):
    torch.manual_seed(0)
    denoiser, x = for_convolutions(build()).eval(), noise(1, 1, *size)
    known = {layer: representation(denoiser, x, layer) for layer in layers(denoiser)}
    denoised = denoiser(x)
    for region in REGIONS[size]:
        for layer, z in known.items():
            view = View.of(x, region, reach(denoiser, layer))
            assert torch.equal(view.region, region.of(x))
            assert_same(view.representation(denoiser, layer), region.of(z))
        assert_same(view.denoised(denoiser), region.of(denoised))


@torch.inference_mode()
@pytest.mark.parametrize("build", [Chen, lambda: Chen(last_kernel=5), Yang], ids=["chen", "chen5", "yang"])
def test_a_window_that_is_one_pixel_too_small_is_told_from_rounding(build):
    torch.manual_seed(0)
    denoiser, x, region = for_convolutions(build()).eval(), noise(1, 1, 200, 220), Region(60, 70, 90, 80)
    last = layers(denoiser)[-1]
    z, enough = region.of(representation(denoiser, x, last)), reach(denoiser, last)
    assert_same(View.of(x, region, enough).representation(denoiser, last), z)
    short = View.of(x, region, enough - 1).representation(denoiser, last)
    assert ulps_apart(short, z) > 50 * ULPS


def test_windows_are_no_larger_than_they_need_be():
    x = noise(1, 1, 512, 512)
    assert View.of(x, Region(100, 200, 128, 96), 8).window.shape[2:] == (144, 112)
    assert View.of(x, Region(0, 384, 128, 128), 8).window.shape[2:] == (136, 136)
    assert View.of(x, Region(100, 200, 128, 96), None).window.shape == x.shape
    corner = View.of(x, Region(0, 500, 128, 12), 8)
    assert corner.inner == Region(0, corner.window.shape[3] - 12, 128, 12)


class Functional(nn.Module):
    """A convolution, and what else a forward pass may do without any module that says so."""

    def __init__(self, then, kernel=3, **settings):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, kernel, **{"padding": kernel // 2, **settings})
        self.then = then

    def forward(self, x):
        return self.then(self.conv(x))


def attention(x):
    rows = x.flatten(2).mT
    return ((rows @ rows.mT).softmax(-1) @ rows).mT.reshape(x.shape)


CONV = nn.Conv2d
REACH = {
    "chen": (Chen, "1", 6),
    "chen, last layer": (Chen, "5", 6),
    "chen, kernel 5": (lambda: Chen(last_kernel=5), "5", 7),
    "yang": (Yang, "8", 8),
    "identity": (Identity, "1", 0),
    "dilated": (
        lambda: nn.Sequential(CONV(1, 4, 3, padding=3, dilation=3), nn.PReLU(), CONV(4, 1, 5, padding=2)),
        "2",
        5,
    ),
    "oblong": (lambda: nn.Sequential(CONV(1, 1, (1, 7), padding=(0, 3))), "0", 3),
    "same": (lambda: nn.Sequential(CONV(1, 4, 3, padding="same"), nn.BatchNorm2d(4)).eval(), "1", 1),
    "residual": (lambda: Functional(lambda x: F.relu(x) + x), "conv", 1),
    "strided": (lambda: nn.Sequential(CONV(1, 4, 3, padding=1, stride=2), nn.PixelShuffle(2)), "0", None),
    "pooled": (lambda: nn.Sequential(CONV(1, 1, 3, padding=1), nn.MaxPool2d(2)), "1", None),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(1, 1, 3, padding=1)), "0", None),
    "valid": (lambda: nn.Sequential(CONV(1, 1, 3)), "0", None),
    "even kernel": (lambda: nn.Sequential(CONV(1, 1, 2, padding=1)), "0", None),
    "reflected": (lambda: nn.Sequential(CONV(1, 1, 3, padding=1, padding_mode="reflect")), "0", None),
    "instance norm": (lambda: nn.Sequential(CONV(1, 4, 3, padding=1), nn.InstanceNorm2d(4)), "1", None),
    "statistics of the batch": (
        lambda: nn.Sequential(CONV(1, 4, 3, padding=1), nn.BatchNorm2d(4)),
        "1",
        None,
    ),
    "linear": (lambda: nn.Sequential(nn.Flatten(2), nn.Linear(9, 9)), "0", None),
}
FUNCTIONAL = {
    "mean": lambda x: x - x.mean((2, 3), keepdim=True),
    "scaled by the largest": lambda x: x / x.amax((2, 3), keepdim=True),
    "scaled by the smallest and largest": lambda x: (x - x.amin()) / (x.amax() - x.amin()),
    "attention": attention,
    "pooled and enlarged": lambda x: F.interpolate(F.avg_pool2d(x, 2, ceil_mode=True), x.shape[2:]),
    "padded by reflection": lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, stride=1),
    "blurred further": lambda x: F.avg_pool2d(x, 9, stride=1, padding=4),
    "shifted round": lambda x: x + x.roll(1, 3),
}


@pytest.mark.parametrize("name", REACH)
def test_reach(name):
    build, layer, expected = REACH[name]
    torch.manual_seed(0)
    assert reach(build(), layer) == expected


class Outer(nn.Module):
    """The functional part of another, as a submodule, so that there is a layer behind it."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_what_the_forward_pass_does_beside_its_modules_is_found_out(name):
    torch.manual_seed(0)
    denoiser = Outer(Functional(FUNCTIONAL[name]))
    assert reach(denoiser, "inner") is None


@torch.inference_mode()
@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("size", [(64, 96), (61, 47)])
@pytest.mark.parametrize("region", [Region(0, 0, 20, 30), Region(41, 21, 20, 26), Region(13, 7, 9, 11)])
def test_maps_of_another_stride_are_cut_to_the_cells_that_the_region_touches(region, size, stride):
    torch.manual_seed(0)
    denoiser = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, stride=stride), nn.ReLU())
    x = noise(2, 1, *size)
    view, z = View.of(x, region, reach(denoiser, "0")), representation(denoiser, x, "0")
    rows, columns = (
        sorted({pixel // stride for pixel in range(first, first + length)})
        for first, length in ((region.top, region.height), (region.left, region.width))
    )
    assert_same(view.representation(denoiser, "0"), z[:, :, rows][:, :, :, columns])


def test_other_images_take_the_regions_place():
    x, region = noise(1, 1, 90, 100), Region(3, 40, 11, 13)
    view, others = View.of(x, region, 6), noise(5, 1, 11, 13, seed=1)
    windows = view.with_region(others)
    assert torch.equal(view.inner.of(windows), others)
    assert torch.equal(view.window, View.of(x, region, 6).window), "the view itself stays as it is"
    outside = torch.ones_like(windows[0, 0])
    view.inner.of(outside).zero_()
    assert torch.equal(windows * outside, (view.window * outside).expand(5, -1, -1, -1))
    whole = View.of(x, Region.whole(x), 6)
    assert whole.with_region(x) is x


@torch.inference_mode()
def test_representations_of_other_images_are_those_of_the_image_with_them_pasted_in():
    torch.manual_seed(0)
    chen, x, region = for_convolutions(Chen()).eval(), noise(1, 1, 150, 140), Region(60, 3, 40, 50)
    others = noise(2, 1, 40, 50, seed=1)
    pasted = x.repeat(2, 1, 1, 1)
    region.of(pasted).copy_(others)
    ours = View.of(x, region, reach(chen, "5")).representation(chen, "5", others)
    assert_same(ours, region.of(representation(chen, pasted, "5")))


def test_several_slices_are_seen_at_once():
    x, region = noise(3, 1, 90, 100), Region(50, 40, 11, 13)
    view = View.of(x, region, 6)
    assert torch.equal(view.region, region.of(x))
    assert torch.equal(view.denoised(Identity()), region.of(x))


@pytest.mark.parametrize(
    "region",
    [
        Region(-1, 0, 5, 5), Region(0, -1, 5, 5), Region(6, 0, 5, 5), Region(0, 16, 5, 5),
        Region(0, 0, 11, 5), Region(0, 0, 0, 5), Region(0, 0, 5, 0), Region(3, 3, -1, 5),
    ],
)  # fmt: skip
def test_a_region_outside_or_empty_is_refused(region):
    with pytest.raises(
        VolumeError, match=r"at row .* is not inside an image of 10×20.* lies inside the image"
    ):
        region.check(10, 20)


def test_regions():
    assert Region.whole(torch.zeros(2, 1, 10, 20)) == Region(0, 0, 10, 20)
    Region(0, 0, 10, 20).check(10, 20)
    Region(9, 19, 1, 1).check(10, 20)
    assert Region(2, 3, 4, 5).grown(1, 10, 20) == Region(1, 2, 6, 7)
    assert Region(2, 3, 4, 5).grown(4, 10, 20) == Region(0, 0, 10, 12)
    assert Region(2, 3, 4, 5).grown(None, 10, 20) == Region(0, 0, 10, 20)
    assert Region(2, 3, 4, 5).enlarged(3) == Region(6, 9, 12, 15)
    assert Region(2, 3, 4, 5).scaled(1) == Region(2, 3, 4, 5)
    assert Region(7, 8, 2, 8).scaled(4) == Region(1, 2, 2, 2)
