"""Sampling, its measures, and the model set they come from, on networks that took seconds to train."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tiny
import torch
from closeness import assert_same

import CTInvarianceLib as cti
from CTInvarianceLib.base import LayerError, ModelsError, VolumeError, WeightsError
from CTInvarianceLib.config import Question
from CTInvarianceLib.denoisers import Identity
from CTInvarianceLib.tensors import denormalize, normalize
from CTInvarianceLib.trust import consistency, mosaics

FOLDERS = {"vector": "tiny_models", "spatial": "tiny_spatial_models"}
LATENT = {"vector": (12,), "spatial": (3, 8, 8)}


@pytest.fixture(scope="module", params=tiny.KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def models(kind, request):
    return cti.Models.load(request.getfixturevalue(FOLDERS[kind]))


@pytest.fixture(scope="module")
def volume(tiny_source):
    return cti.read_volume(tiny.series(tiny_source))


@pytest.fixture(scope="module")
def patch(volume):
    return volume.hu[0, 16:48, 16:48]


def test_samples_have_the_documented_shapes_and_agree_with_each_other(models, kind, patch):
    samples = models.sample(patch, "chen", "5", n=9, seed=3)
    assert samples.images.shape == (9, 32, 32)
    assert samples.images.dtype == np.float32
    assert samples.invariances.shape == samples.latents.shape == (9, *LATENT[kind])
    assert samples.consistency.shape == (9,)
    np.testing.assert_allclose(samples.mean, samples.images.mean(0))
    np.testing.assert_allclose(samples.std, samples.images.std(0, ddof=1))
    decoded = models.embedding("low").decode(samples.latents)
    assert_same(decoded, samples.images)


@pytest.mark.parametrize("domain", ["low", "full"])
def test_the_flow_maps_the_samples_back_to_their_invariances(models, patch, domain):
    samples = models.sample(patch, "yang", "8", n=5, domain=domain)
    z = cti.representation(models.denoiser("yang"), normalize(torch.from_numpy(patch))[None, None], "8")
    v, _ = models.flow("yang", "8", domain)(torch.from_numpy(samples.latents), z)
    np.testing.assert_allclose(v.detach().numpy(), samples.invariances, atol=1e-4)


def test_same_seed_same_samples(models, patch):
    first, again, other = (models.sample(patch, "chen", "1", n=3, seed=s).images for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_consistency_by_hand(models, patch):
    samples = models.sample(patch, "chen", "1", n=2)
    chen, embedding = models.denoiser("chen"), models.embedding("low")

    def z(images):
        return cti.representation(chen, normalize(torch.as_tensor(images, dtype=torch.float32))[:, None], "1")

    def distance(images):
        return (z(images) - z(patch[None])).flatten(1).norm(dim=1).detach().numpy()

    floor = distance(embedding.decode(embedding.encode(patch).mean)[None])[0]
    ceiling = distance(denormalize(models.unrelated("low"))[:, 0]).mean()
    expected = (distance(samples.images) - floor) / (ceiling - floor)
    np.testing.assert_allclose(samples.consistency, expected, rtol=1e-3)
    assert samples.floor == pytest.approx(floor, rel=1e-4)
    assert samples.ceiling == pytest.approx(ceiling, rel=1e-4)


def test_consistency_is_zero_for_the_embedded_and_one_for_the_unrelated():
    generator = torch.Generator().manual_seed(0)
    x, embedded, unrelated = (torch.randn(n, 1, 16, 16, generator=generator) for n in (1, 1, 30))
    unrelated = unrelated * 3
    targets = {"z": x, "embedded": embedded, "unrelated": unrelated}
    assert consistency(Identity(), "1", images=embedded, **targets).values == pytest.approx(0)
    assert consistency(Identity(), "1", images=x, **targets).values < 0
    assert consistency(Identity(), "1", images=unrelated, **targets).values.mean() == pytest.approx(
        1, abs=1e-4
    )


@pytest.mark.parametrize(
    ("rows", "columns"), [(3, 2), (5, 4), (1, 1), (6, 4), (5, 9), (17, 11), (20, 24), (4, 30), (50, 2)]
)
def test_mosaics_are_patches_side_by_side(rows, columns):
    """Patches of 5×4 for images that are smaller, as large, and larger; pixel by pixel by their definition."""
    patches = torch.arange(7 * 5 * 4, dtype=torch.float32).reshape(7, 1, 5, 4)
    images = mosaics(patches, rows, columns)
    down, across = -(-rows // 5), -(-columns // 4)
    assert images.shape == (-(-7 // (down * across)), 1, rows, columns)
    for index in np.ndindex(*images.shape):
        image, _, row, column = index
        number = image * down * across + row // 5 * across + column // 4
        assert images[index] == patches[number % 7, 0, row % 5, column % 4]
    if rows >= 5 and columns >= 4:
        shown = {float(p) for p in patches[:, 0, 0, 0]} & set(images[..., ::5, ::4].flatten().tolist())
        assert len(shown) == 7, "every patch takes part"


def test_the_full_dose_partner_sets_the_floor_of_its_domain(models, patch, tiny_source):
    full = cti.read_volume(tiny.series(tiny_source, "full")).hu[0, 16:48, 16:48]
    without = models.sample(patch, "chen", "5", n=2, domain="full")
    given = models.sample(patch, "chen", "5", n=2, domain="full", full_dose_hu=full)
    np.testing.assert_array_equal(without.images, given.images)
    assert without.floor != given.floor


def test_many_samples_are_decoded_in_batches_with_the_same_result(models, patch, monkeypatch):
    whole = models.sample(patch, "chen", "5", n=20).images
    monkeypatch.setattr("CTInvarianceLib.tensors.batches._BATCH_BYTES", {"cpu": 32 * 32 * 8 * 4 * 3})
    assert_same(models.sample(patch, "chen", "5", n=20).images, whole)


def test_embedding_takes_and_gives_what_the_contract_says(models, kind, patch):
    embedding = models.embedding("low")
    one, many = embedding.encode(patch), embedding.encode(np.stack([patch, patch]))
    assert one.mean.shape == one.std.shape == LATENT[kind]
    assert many.mean.shape == (2, *LATENT[kind])
    assert embedding.decode(one.mean).shape == (32, 32)
    tensor = embedding.decode(torch.from_numpy(many.mean))
    assert isinstance(tensor, torch.Tensor)
    assert_same(tensor[0].numpy(), embedding.decode(one.mean))


def test_identity_returns_the_hu_it_was_given(models, volume):
    for hu in (volume.hu, np.round(volume.hu).astype(np.int16), volume.hu * 0 - 3024, volume.hu * 0 + 30000):
        given = volume.with_hu(hu)
        result = models.denoise(given, "identity")
        assert np.abs(result.hu - hu.astype(np.float64)).max() < 0.01
        np.testing.assert_array_equal(result.affine, given.affine)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((31, 32), r"shape \(31, 32\), these models were trained on 32×32"), ((1, 32, 32), "shape")],
)
def test_vectors_are_of_patches_of_one_size(tiny_models, shape, message):
    with pytest.raises(VolumeError, match=message):
        cti.Models.load(tiny_models).sample(np.zeros(shape, np.float32), "chen", "5")


def test_bad_requests_are_named(models, patch):
    nan = patch.astype(np.float32)
    nan[3, 4] = np.nan
    with pytest.raises(VolumeError, match="1 pixels of the patch are not finite"):
        models.sample(nan, "chen", "5")
    with pytest.raises(
        LayerError, match=r"no flow is trained for this layer of chen: '3'\. In this model set .* 1, 5"
    ):
        models.sample(patch, "chen", "3")
    with pytest.raises(LayerError, match="no layer of this name: '9'"):
        models.sample(patch, "chen", "9")
    with pytest.raises(ModelsError, match="no denoiser of this name: 'unet'"):
        models.sample(patch, "unet", "1")
    with pytest.raises(ModelsError, match="no such domain: 'medium'"):
        models.sample(patch, "chen", "5", domain="medium")
    with pytest.raises(VolumeError, match="0 samples cannot be drawn"):
        models.sample(patch, "chen", "5", n=0)


@pytest.fixture
def copy(tiny_models, tmp_path):
    return shutil.copytree(tiny_models, tmp_path / "copy")


def test_a_model_set_of_another_version_is_refused(copy):
    manifest = json.loads((copy / "models.json").read_text())
    (copy / "models.json").write_text(json.dumps({**manifest, "version": 99}))
    with pytest.raises(ModelsError, match="version 99, this program reads ctinvariance-models version 2"):
        cti.Models.load(copy)
    (copy / "models.json").write_text("{")
    with pytest.raises(ModelsError, match="damaged"):
        cti.Models.load(copy)
    with pytest.raises(ModelsError, match="this is no model set"):
        cti.Models.load(copy / "nowhere")


def test_a_pickle_is_never_opened(copy, patch, tmp_path):
    marker = tmp_path / "opened"

    class Bomb:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    for protocol in (2, 5):
        import pickle

        (copy / "denoisers/chen.safetensors").write_bytes(pickle.dumps(Bomb(), protocol=protocol))
        with pytest.raises(WeightsError, match="this is a pickle"):
            cti.Models.load(copy).denoiser("chen")
    torch.save({"weight": torch.zeros(2)}, copy / "denoisers/chen.safetensors")
    with pytest.raises(WeightsError, match="this is a pickle"):
        cti.Models.load(copy).denoiser("chen")
    assert not marker.exists()


def test_damaged_missing_and_foreign_weights_are_named(copy):
    path = copy / "denoisers/chen.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="no readable safetensors file"):
        cti.Models.load(copy).denoiser("chen")
    shutil.copy(copy / "denoisers/yang.safetensors", path)
    with pytest.raises(WeightsError, match=r"layers\.0\.bias is missing"):
        cti.Models.load(copy).denoiser("chen")
    path.unlink()
    with pytest.raises(ModelsError, match="not trained yet"):
        cti.Models.load(copy).denoiser("chen")


def test_progress_grows_to_one_and_changes_nothing(models, patch):
    slab, fractions = np.stack([patch, patch[::-1]]), []
    plain = models.sample_slab(slab, Question("chen", "5", n=700, seed=1))
    told = models.sample_slab(slab, Question("chen", "5", n=700, seed=1), progress=fractions.append)
    for a, b in zip(plain, told, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.consistency, b.consistency)
    assert fractions == sorted(fractions)
    assert fractions[0] > 0
    assert fractions[-1] == pytest.approx(1)
    assert len(fractions) > 20


def test_what_progress_raises_stops_the_work(models, patch, volume):
    calls = []

    def stop(fraction):
        calls.append(fraction)
        raise KeyError("stop")

    for work in (
        lambda: models.sample(patch, "chen", "5", n=700, progress=stop),
        lambda: models.denoise(volume, "chen", progress=stop),
        lambda: cti.simulate_low_dose(volume.with_hu(volume.hu * 0), progress=stop),
    ):
        with pytest.raises(KeyError, match="stop"):
            work()
    assert len(calls) == 3


def test_samples_are_there_before_their_consistency(models, patch):
    seen = []
    (final,) = models.sample_slab(patch[None], Question("chen", "5", n=3), on_drawn=seen.extend)
    assert np.isnan(seen[0].consistency).all()
    assert np.isfinite(final.consistency).all()
    np.testing.assert_array_equal(seen[0].images, final.images)
