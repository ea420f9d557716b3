"""Tiles: what is worked off in parts is what would be done at once; whole slices, regions and slabs."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from closeness import assert_same, ulps_apart
from torch import nn

import CTInvarianceLib as cti
from CTInvarianceLib.base import VolumeError
from CTInvarianceLib.config import Question
from CTInvarianceLib.flow import ConvolutionalFlow
from CTInvarianceLib.sampling import draw
from CTInvarianceLib.sampling.image_drawing import draw_images
from CTInvarianceLib.sampling.tiling import by_tiles, tiles
from CTInvarianceLib.tensors import denormalize, normalize
from CTInvarianceLib.tolerance import Noise
from CTInvarianceLib.volumes import Region

ROWS, COLUMNS = 150, 131  # larger than the training patch of 32, and neither a multiple of a cell
TILE = 32
ALIGNED = 16  # pixels: cells of 4, and a flow of two scales


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def texture(rows, columns, seed=0):
    """Stationary noise about soft tissue, HU, correlated over a few pixels."""
    fine = np.random.default_rng(seed).normal(0, 400, (rows + 2, columns + 2))
    return (40 + F.avg_pool2d(torch.from_numpy(fine)[None], 3, stride=1)[0]).float().numpy()


FOLDERS = {"spatial": "tiny_spatial_models", "complete": "tiny_complete_models"}


@pytest.fixture(scope="module", params=FOLDERS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def models(kind, request):
    """Of any size."""
    return cti.Models.load(request.getfixturevalue(FOLDERS[kind]))


@pytest.fixture(scope="module")
def spatial(tiny_spatial_models):
    return cti.Models.load(tiny_spatial_models)


@pytest.fixture(scope="module")
def image():
    return texture(ROWS, COLUMNS)


def quiet(image):
    """A full-dose partner: the same with less noise."""
    return (image + 0.03 * np.random.default_rng(9).normal(0, 400, image.shape)).astype(np.float32)


def learned(models, dtype):
    """A layer whose flow and decoder have learned much, with random weights: every seam would show."""
    trained, generator = models.trained_layer("chen", "5", "low"), torch.Generator().manual_seed(3)
    denoiser, embedding, flow = (
        copy.deepcopy(part).to(dtype) for part in (trained.denoiser, trained.embedding, trained.flow)
    )
    with torch.no_grad():
        for parameter in (*embedding.parameters(), *flow.flow.parameters()):
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator) * fan_in**-0.5
    return dataclasses.replace(
        trained, denoiser=denoiser, embedding=embedding, flow=flow, unrelated=trained.unrelated.to(dtype)
    )


@pytest.fixture(scope="module")
def strong(spatial):
    return learned(spatial, torch.float64)


def whole(trained, image, **settings):
    """Samples of a whole slice, HU, (n, H, W)."""
    x = normalize(torch.from_numpy(image))[None, None].to(trained.unrelated)
    return denormalize(draw(trained, trained.view(x, Region.whole(x)), seeds=[0], **settings).images[0])


@pytest.mark.parametrize("size", [(64, 64), (70, 33), (1, 100), (5, 5)])
def test_tiles_cover_everything_once(size):
    count = torch.zeros(size)
    for tile in tiles(*size, 16):
        tile.check(*size)
        assert max(tile.height, tile.width) <= 16
        tile.of(count).add_(1)
    assert torch.equal(count, torch.ones(size))


@torch.no_grad()
@pytest.mark.parametrize("size", [(20, 24), (17, 9), (1, 30), (3, 3)])
@pytest.mark.parametrize("enlarge", [1, 3])
def test_a_network_in_tiles_is_the_network_at_once(size, enlarge):
    """Two inputs, the second one finer, as the guide of a decoder is."""
    torch.manual_seed(0)
    coarse = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 5, padding=2)).double()
    last = nn.Conv2d(5, 2 * enlarge**2, 1).double()

    def network(maps, fine):
        return F.pixel_shuffle(last(torch.cat((coarse(maps), F.avg_pool2d(fine, 2)), dim=1)), enlarge)

    inputs = noise(2, 2, *size), noise(2, 1, *(2 * side for side in size), seed=1)
    at_once = network(*inputs)
    for side in (4, 7):
        assert_same(by_tiles(network, inputs, side=side, halo=3, enlarge=enlarge), at_once)
    if min(size) > 8:
        short = by_tiles(network, inputs, side=4, halo=2, enlarge=enlarge)
        assert ulps_apart(short, at_once) > 1e9, "a halo that is too narrow shows"


@pytest.mark.parametrize(("name", "layer"), [("chen", "1"), ("chen", "5"), ("yang", "8"), ("identity", "1")])
def test_a_slice_in_tiles_has_the_samples_of_the_slice_at_once(models, image, name, layer):
    partner = quiet(image)[None]

    def both(tile):
        question = Question(name, layer, n=3, tile=tile)
        (proposals,), (final,) = tiny.drawn(models, image[None], question, full_dose_hu=partner)
        return proposals, final

    drawn, at_once = both(None)
    assert at_once.images.shape == (3, ROWS, COLUMNS)
    for tile in (TILE, 50):
        proposals, tiled = both(tile)
        np.testing.assert_array_equal(tiled.invariances, at_once.invariances)
        assert_same(proposals.images, drawn.images)
        # Where ReLUs switch, a correction may take another way for the last digit: there are none up to layer 1.
        if layer == "1":
            assert_same(tiled.images, at_once.images)
            np.testing.assert_allclose(tiled.consistency, at_once.consistency, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(ROWS, COLUMNS), (33, 97), (1, 70)])
def test_tiles_are_exact_however_much_has_been_learned(strong, size):
    image = texture(*size)
    at_once = whole(strong, image, n=2)
    assert at_once.std() > 50
    assert (whole(strong, image, n=2, tile=TILE) - at_once).abs().max() < 1e-7


@pytest.mark.parametrize("size", [(70, 61), (17, 90)])
def test_tiles_of_images_are_exact_however_much_has_been_learned(tiny_complete_models, size):
    strong = learned(cti.Models.load(tiny_complete_models), torch.float64)
    x = normalize(torch.from_numpy(texture(*size)))[None, None].double()
    scan = Noise.of_scan(0.05 * noise(1, 1, *size), dose=0.25)

    def sampled(tile):
        return draw_images(strong, x, Region.whole(x), 0.02, scan, n=4, seed=1, tile=tile)[0]

    at_once, tiled = sampled(None), sampled(TILE)
    assert at_once.shape == (4, 1, *size)
    assert denormalize(at_once).std(0).mean() > 5
    assert (tiled - at_once).abs().max() < 1e-9


def second_differences(images, places):
    """Mean |x₋₁ − 2 x₀ + x₁| astride the borders in front of rows and columns."""
    parts = []
    for maps in (images, images.mT):
        for first in (-2, -1):  # one difference ends just behind the border, one begins just before it
            parts += [
                (maps[:, p + first] - 2 * maps[:, p + first + 1] + maps[:, p + first + 2]).abs()
                for p in places
            ]
    return float(torch.cat([part.flatten() for part in parts]).mean())


def seam(images):
    """Across borders of tiles, relative to borders of cells inside tiles, as far from the images' own."""
    return second_differences(images, (64, 96)) / second_differences(images, (48, 80, 112))


def test_no_seams(spatial, monkeypatch):
    strong = learned(spatial, torch.float32)
    slab = np.stack([texture(160, 160, seed=seed) for seed in range(12)])
    x = normalize(torch.from_numpy(slab))[:, None]

    def sampled(tile):
        drawn = draw(strong, strong.view(x, Region.whole(x)), n=4, seeds=range(12), tile=tile)
        return denormalize(drawn.images.flatten(0, 1))

    at_once, tiled = sampled(None), sampled(TILE)
    assert seam(tiled) == pytest.approx(1, abs=0.02)
    assert seam(tiled) == pytest.approx(seam(at_once), rel=1e-4)
    monkeypatch.setattr(ConvolutionalFlow, "radius", 0)
    monkeypatch.setattr(strong.embedding, "radius", 0)
    assert abs(seam(sampled(TILE)) / seam(at_once) - 1) > 0.02, "tiles without a margin have seams"


REGIONS = [
    Region(0, 0, 32, 32),
    Region(41, 33, 50, 37),
    Region(ROWS - 16, COLUMNS - 64, 16, 64),
    Region(70, 5, 1, 9),
]


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("tile", [None, TILE])
def test_a_region_is_sampled_with_the_z_of_the_whole_slice(models, kind, image, region, tile):
    samples = models.sample(image, "chen", "1", n=3, region=region, tile=tile, full_dose_hu=quiet(image))
    assert samples.images.shape == (3, region.height, region.width)
    assert_same(samples.patch, region.of(torch.from_numpy(image)))
    x = normalize(torch.from_numpy(image))[None, None]
    chen, flow = models.denoiser("chen"), models.flow("chen", "1", "low")
    z = region.of(cti.representation(chen, x, "1"))
    if kind == "spatial":
        v, _ = flow(torch.from_numpy(samples.latents), z)
        np.testing.assert_allclose(v, samples.invariances, atol=1e-4)
    assert_same(samples.denoised, region.of(denormalize(chen(x))[0, 0]))
    alone = cti.representation(chen, region.of(x), "1")
    assert (alone - z).abs().max() > 0.01, "the surroundings matter"
    inserted = x.repeat(3, 1, 1, 1)
    region.of(inserted).copy_(normalize(torch.from_numpy(samples.images))[:, None])
    found = region.of(cti.representation(chen, inserted, "1"))
    away = (found - z).flatten(1).norm(dim=1) / (region.height * region.width) ** 0.5
    np.testing.assert_allclose(away / samples.epsilon, samples.misfit, rtol=2e-3)
    assert samples.misfit.max() <= 1.1


def test_the_consistency_of_a_region_is_that_of_the_slice_with_the_samples_in_it(models, image):
    region = REGIONS[1]
    samples = models.sample(image, "chen", "5", n=3, region=region)
    chen, embedding = models.denoiser("chen"), models.embedding("low")
    patch = region.of(torch.from_numpy(image))

    def z(images):
        slices = torch.from_numpy(image).repeat(len(images), 1, 1)
        region.of(slices).copy_(images)
        return region.of(cti.representation(chen, normalize(slices)[:, None], "5"))

    def distance(images):
        return (z(images) - z(patch[None])).flatten(1).norm(dim=1)

    embedded = embedding.decode(embedding.encode(patch).mean)[: region.height, : region.width]
    unrelated = denormalize(models.unrelated("low"))[:, 0]
    assert unrelated.shape == (24, 32, 32)
    fours = unrelated.reshape(6, 2, 2, 32, 32).transpose(2, 3).reshape(6, 64, 64)
    others = fours[:, : region.height, : region.width]
    floor, ceiling = float(distance(embedded[None])[0]), float(distance(others).mean())
    rounding = 1e-5 * ceiling  # all that a complete embedding loses
    assert samples.floor == pytest.approx(floor, rel=1e-3, abs=rounding)
    assert samples.ceiling == pytest.approx(ceiling, rel=1e-4)
    expected = (distance(torch.from_numpy(samples.images)) - floor) / (ceiling - floor)
    np.testing.assert_allclose(samples.consistency, expected, rtol=1e-3)


def test_a_slab_has_the_samples_of_its_slices(models):
    slices = np.stack([texture(70, 61, seed=k) for k in range(3)])
    partner = quiet(slices)
    region = Region(10, 20, 40, 32)
    slab = models.sample_slab(slices, Question("chen", "1", n=4, seed=7), region=region, full_dose_hu=partner)
    assert [samples.seed for samples in slab] == [7, 8, 9]
    for k, samples in enumerate(slab):
        alone = models.sample(slices[k], "chen", "1", n=4, seed=7 + k, region=region, full_dose_hu=partner[k])
        np.testing.assert_array_equal(samples.invariances, alone.invariances)
        for name in ("images", "patch", "denoised", "target", "embedded"):
            assert_same(getattr(samples, name), getattr(alone, name))
        np.testing.assert_allclose(samples.consistency, alone.consistency, atol=1e-4)
        assert samples.floor == pytest.approx(alone.floor, rel=1e-4)
        assert samples.epsilon == pytest.approx(alone.epsilon, rel=1e-5)


@pytest.mark.parametrize("tile", [None, TILE])
def test_the_first_samples_do_not_depend_on_how_many_follow(models, image, tile):
    few, many = (
        models.sample(image, "chen", "1", n=n, seed=2, tile=tile, full_dose_hu=quiet(image)) for n in (3, 9)
    )
    np.testing.assert_array_equal(few.invariances, many.invariances[:3])
    assert_same(few.images, many.images[:3])
    assert np.abs(many.images[0] - many.images[1]).max() > 1


@pytest.mark.parametrize(
    "size",
    [
        (1, 50),
        (50, 1),
        (1, 1),
        (2, 3),
        (16, 17),
        (33, 47),
        (64, 64),
    ],
)
def test_images_of_any_size(models, kind, size):
    image = texture(*size)
    for domain in ("low", "full"):
        question = Question("yang", "8", 2, domain)
        (proposals,), (samples,) = tiny.drawn(models, image[None], question, full_dose_hu=quiet(image)[None])
        assert samples.images.shape == (2, *size)
        assert np.isfinite(samples.images).all()
        assert np.isfinite(samples.consistency).all() == (samples.ceiling > samples.floor)
        latent = samples.latents.shape[2:]
        if kind == "complete":
            assert latent == tuple(-(-side // 4) for side in size)
        else:
            assert all(
                side % 4 == 0 and 0 <= 4 * side - length < ALIGNED
                for side, length in zip(latent, size, strict=True)
            )
        decoded = models.embedding(domain).decode(samples.latents)[:, : size[0], : size[1]]
        if kind == "complete":
            np.testing.assert_allclose(decoded, samples.images, atol=0.01)
        else:
            assert_same(decoded, proposals.images)


def test_the_noise_of_an_image_without_partner_is_read_from_16_pixels_or_more(models):
    with pytest.raises(VolumeError, match=r"noise cannot be read from 15×40 pixels\. Take 16×16 or more"):
        models.sample(texture(15, 40), "chen", "5", n=1)
    assert models.sample(texture(16, 40), "chen", "5", n=1).noise_from == "image"


def test_what_cannot_be_sampled_is_named(models, image):
    broken = image.copy()
    broken[149, 130] = np.nan
    with pytest.raises(VolumeError, match="1 pixels of the patch are not finite"):
        models.sample(broken, "chen", "5", region=Region(0, 0, 32, 32))
    with pytest.raises(VolumeError, match="is not inside an image of 150×131"):
        models.sample(image, "chen", "5", region=Region(120, 0, 32, 32))


def test_tiles_of_nothing_are_named(spatial, image):
    with pytest.raises(VolumeError, match="tiles of 0 pixels cannot be made"):
        spatial.sample(image, "chen", "5", n=1, tile=0)


def test_tiles_of_nothing_are_named_for_complete_ones_too(tiny_complete_models, image):
    with pytest.raises(VolumeError, match="tiles of 0 pixels cannot be made"):
        cti.Models.load(tiny_complete_models).sample(image[:40, :40], "chen", "5", n=1, tile=0)


def test_what_cannot_be_sampled_of_vectors_is_named(tiny_models, image):
    vectors = cti.Models.load(tiny_models)
    with pytest.raises(VolumeError, match="cannot be worked off in tiles"):
        vectors.sample(image[:32, :32], "chen", "5", n=1, tile=16)
    for region in (None, Region(0, 0, 32, 33)):
        with pytest.raises(VolumeError, match=r"trained on 32×32 pixels.*models with another embedding"):
            vectors.sample(image, "chen", "5", n=1, region=region)
    assert vectors.sample(image, "chen", "5", n=1, region=Region(3, 5, 32, 32)).images.shape == (1, 32, 32)
