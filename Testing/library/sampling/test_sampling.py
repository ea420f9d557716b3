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
from CTInvarianceLib.config import Question, record_file
from CTInvarianceLib.denoisers import Identity
from CTInvarianceLib.sampling import drawing_share, sample_invariances
from CTInvarianceLib.tensors import STD, denormalize, normalize
from CTInvarianceLib.trust import consistency, mosaics

CHEN = "denoisers/chen.safetensors"

FOLDERS = {"vector": "tiny_models", "spatial": "tiny_spatial_models", "complete": "tiny_complete_models"}
LATENT = {"vector": (12,), "spatial": (3, 8, 8), "complete": (16, 8, 8)}
INVARIANCE = LATENT | {"complete": (16, 12, 12)}  # with a margin of 16 pixels for the shifts of its cells
coded = pytest.mark.parametrize("kind", tiny.CODED, indirect=True)
complete = pytest.mark.parametrize("kind", ["complete"], indirect=True)


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


@pytest.fixture(scope="module")
def full(tiny_source):
    return cti.read_volume(tiny.series(tiny_source, "full")).hu[0, 16:48, 16:48]


def drawn(models, patch, *question, **options):
    """Proposals and samples: what is handed out when they are drawn, and what they are in the end."""
    (proposals,), (final,) = tiny.drawn(models, patch[None], Question(*question), **options)
    return proposals, final


def rms(values):
    """Over all axes but the first."""
    return np.sqrt(np.square(values, dtype=np.float64).mean(axis=tuple(range(1, np.ndim(values)))))


def test_samples_have_the_documented_shapes_and_agree_with_each_other(models, kind, patch):
    samples = models.sample(patch, "chen", "5", n=9, seed=3)
    assert samples.images.shape == (9, 32, 32)
    assert samples.images.dtype == np.float32
    assert samples.invariances.shape == (9, *INVARIANCE[kind])
    assert samples.latents.shape == (9, *LATENT[kind])
    for name in ("consistency", "misfit", "output_change", "moved", "proposed_misfit"):
        assert getattr(samples, name).shape == (9,), name
    np.testing.assert_allclose(samples.mean, samples.images.mean(0))
    np.testing.assert_allclose(samples.std, samples.images.std(0, ddof=1))
    assert samples.spread == pytest.approx(np.sqrt(samples.images.var(0, ddof=1).mean()), rel=1e-4)


@coded
@pytest.mark.parametrize("domain", ["low", "full"])
def test_proposals_are_what_the_decoder_makes_of_their_latents(models, patch, domain):
    proposals, final = drawn(models, patch, "chen", "5", 9, domain)
    decoded = models.embedding(domain).decode(final.latents)
    assert_same(decoded, proposals.images)
    np.testing.assert_array_equal(final.latents, proposals.latents)
    if domain == "full":  # nothing is corrected
        assert_same(decoded, final.images)


@complete
@pytest.mark.parametrize("domain", ["low", "full"])
def test_the_latents_of_a_complete_embedding_are_the_samples_own(models, patch, domain):
    embedding = models.embedding(domain)
    for samples in drawn(models, patch, "chen", "5", 4, domain):
        assert_same(
            samples.latents, embedding.encode(samples.images).mean, ulps=1e3
        )  # HU round what was encoded
        assert_same(embedding.decode(samples.latents), samples.images, ulps=1e3)


@coded
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
    rounding = 1e-5 * float(ceiling)  # all that a complete embedding loses
    assert samples.floor == pytest.approx(floor, rel=1e-4, abs=rounding)
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


def test_the_full_dose_partner_sets_target_and_floor_of_its_domain(models, kind, patch, full):
    without = models.sample(patch, "chen", "5", n=2, domain="full")
    given = models.sample(patch, "chen", "5", n=2, domain="full", full_dose_hu=full)
    assert_same(given.target, full.astype(np.float32))
    np.testing.assert_array_equal(without.target, without.denoised)
    assert without.floor != given.floor
    if kind != "complete":  # its flow is told ε, which comes from the noise, which comes from the partner
        np.testing.assert_array_equal(without.images, given.images)
    in_low_dose = models.sample(patch, "chen", "5", n=2, full_dose_hu=full)
    np.testing.assert_array_equal(in_low_dose.target, in_low_dose.patch)


def test_many_samples_are_worked_off_in_batches_with_the_same_result(models, patch, full, monkeypatch):
    """Where ReLUs switch, a correction may take another way for the last digit: layer 1 has none behind it."""
    partner = {"full_dose_hu": full[None]}
    proposals, _ = drawn(models, patch, "chen", "5", 20, **partner)
    _, final = drawn(models, patch, "identity", "1", 20, **partner)
    monkeypatch.setattr("CTInvarianceLib.tensors.batches._BATCH_BYTES", {"cpu": 32 * 32 * 8 * 4 * 3})
    assert_same(drawn(models, patch, "chen", "5", 20, **partner)[0].images, proposals.images)
    assert_same(drawn(models, patch, "identity", "1", 20, **partner)[1].images, final.images)


def test_embedding_takes_and_gives_what_the_contract_says(models, kind, patch):
    embedding = models.embedding("low")
    one, many = embedding.encode(patch), embedding.encode(np.stack([patch, patch]))
    assert one.mean.shape == one.std.shape == LATENT[kind]
    assert many.mean.shape == (2, *LATENT[kind])
    assert embedding.decode(one.mean).shape == (32, 32)
    tensor = embedding.decode(torch.from_numpy(many.mean))
    assert isinstance(tensor, torch.Tensor)
    assert_same(tensor[0].numpy(), embedding.decode(one.mean))


@pytest.fixture
def every_warning():
    """torch says what it has to say every time, not once in a process; here warnings are errors."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("every_warning")
def test_arrays_that_may_not_be_written_are_taken_without_a_word(models, patch, full):
    """As those that are read from files."""
    low, partner = patch.astype(np.float32), full.astype(np.float32)
    for array in (low, partner):
        array.setflags(write=False)
    models.sample(low, "identity", "1", n=2, full_dose_hu=partner)
    latent = models.embedding("low").encode(low).mean
    latent.setflags(write=False)
    models.embedding("low").decode(latent)


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
    with pytest.raises(VolumeError, match="a tolerance of 0 rescans"):
        models.sample(patch, "chen", "5", n=1, tolerance=0)
    with pytest.raises(VolumeError, match="a tolerance of nan rescans"):
        models.sample(patch, "chen", "5", n=1, tolerance=float("nan"))


def test_the_tolerances_that_may_be_asked_for_are_those_that_the_flow_knows(models, kind, patch):
    if kind != "complete":  # those flows know of none
        assert models.sample(patch, "chen", "5", n=1, tolerance=7).tolerance == 7
        return
    for tolerance in (0.09, 2.1):
        with pytest.raises(
            VolumeError,
            match=rf"a tolerance of {tolerance} rescans is outside of what .* Ask for 0\.1 to 2\.",
        ):
            models.sample(patch, "chen", "5", n=1, tolerance=tolerance)
    for tolerance in (0.1, 2.0):
        assert models.sample(patch, "chen", "5", n=1, tolerance=tolerance).tolerance == tolerance


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

        (copy / CHEN).write_bytes(pickle.dumps(Bomb(), protocol=protocol))
        record_file(copy, CHEN)
        with pytest.raises(WeightsError, match="this is a pickle"):
            cti.Models.load(copy).denoiser("chen")
    torch.save({"weight": torch.zeros(2)}, copy / CHEN)
    record_file(copy, CHEN)
    with pytest.raises(WeightsError, match="this is a pickle"):
        cti.Models.load(copy).denoiser("chen")
    assert not marker.exists()


def test_damaged_missing_and_foreign_weights_are_named(copy):
    path = copy / CHEN
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelsError, match="damaged or was exchanged"):
        cti.Models.load(copy).denoiser("chen")
    record_file(copy, CHEN)  # as of somebody who wrote it so
    with pytest.raises(WeightsError, match="no readable safetensors file"):
        cti.Models.load(copy).denoiser("chen")
    shutil.copy(copy / "denoisers/yang.safetensors", path)
    record_file(copy, CHEN)
    with pytest.raises(WeightsError, match=r"layers\.0\.bias is missing"):
        cti.Models.load(copy).denoiser("chen")
    path.unlink()
    with pytest.raises(ModelsError, match="not trained yet"):
        cti.Models.load(copy).denoiser("chen")


def test_progress_grows_to_one_and_changes_nothing(models, patch, full):
    slab, fractions = np.stack([patch, patch[::-1]]), []
    asked, partner = Question("chen", "5", n=20, seed=1), np.stack([full, full[::-1]])
    plain = models.sample_slab(slab, asked, full_dose_hu=partner)
    told = models.sample_slab(slab, asked, full_dose_hu=partner, progress=fractions.append)
    for a, b in zip(plain, told, strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.consistency, b.consistency)
        np.testing.assert_array_equal(a.misfit, b.misfit)
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


def test_the_correction_can_be_stopped_too(models, patch, full):
    fractions, seen = [], []

    def stop(fraction):
        fractions.append(fraction)
        if fraction > drawing_share(flow=True) + 0.1:
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        models.sample_slab(
            patch[None],
            Question("chen", "5", n=5),
            full_dose_hu=full[None],
            on_drawn=seen.extend,
            progress=stop,
        )
    assert len(seen) == 1, "proposals are there by then"
    assert fractions[-1] < 0.6, "and the evidence is not"


def test_proposals_are_there_before_their_evidence(models, patch):
    proposals, final = drawn(models, patch, "chen", "5", 3)
    assert np.isnan(proposals.consistency).all()
    assert np.isfinite(final.consistency).all()
    assert proposals.evidence is None
    for name in ("misfit", "output_change", "passes", "noise_passes", "displaced_passes", "visibility"):
        with pytest.raises(VolumeError, match="not measured yet"):
            getattr(proposals, name)
        assert np.isfinite(getattr(final, name)).all(), name
    assert (proposals.corrected, final.corrected) == (False, True)
    np.testing.assert_array_equal(proposals.moved, 0)
    np.testing.assert_array_equal(proposals.invariances, final.invariances)


# The tolerance


def test_of_identity_the_misfit_is_the_distance_of_the_images(models, patch, full):
    """Φ(x) = x: ε is τ times the noise of a full-dose scan, and every number can be had from the images alone."""
    tau, dose = 0.5, 0.25
    proposals, final = drawn(models, patch, "identity", "1", 6, "low", 2, tau, full_dose_hu=full[None])
    inserted = (patch - full).astype(np.float64)
    assert final.noise_hu == pytest.approx(np.sqrt(np.square(inserted).mean() / (1 - dose)), rel=0.05)
    assert final.tolerance_hu == pytest.approx(tau * final.noise_hu * np.sqrt(dose), rel=0.1)
    assert final.epsilon * STD == pytest.approx(final.tolerance_hu, rel=1e-4)
    assert final.misfit.max() <= 1.1
    assert final.proposed_misfit.max() > 1.02, "so there was something to correct"
    for samples, misfit in ((proposals, final.proposed_misfit), (final, final.misfit)):
        np.testing.assert_allclose(rms(samples.images - patch) / final.tolerance_hu, misfit, rtol=2e-3)
    np.testing.assert_allclose(rms(final.images - proposals.images), final.moved, rtol=2e-3)
    np.testing.assert_allclose(final.output_change, rms(final.images - patch), rtol=2e-3)
    assert final.proposed_spread == pytest.approx(proposals.spread, rel=1e-4)
    assert final.passes == pytest.approx(1, rel=1e-4)
    assert final.visibility == pytest.approx(1, rel=1e-3)
    assert final.evidence.arrives == pytest.approx(final.spread, rel=1e-3)


def test_the_evidence_by_hand(models, patch, full):
    proposals, final = drawn(models, patch, "chen", "5", 5, "low", 1, full_dose_hu=full[None])
    chen = models.denoiser("chen")

    def denoised(images):
        x = normalize(torch.as_tensor(images, dtype=torch.float32))[:, None]
        return denormalize(chen(x))[:, 0].detach().numpy()

    change = denoised(final.images) - denoised(patch[None])
    np.testing.assert_allclose(final.output_change, rms(change), rtol=2e-3)
    most = np.abs(change).max(axis=(1, 2))
    np.testing.assert_allclose(final.evidence.output_change_most, most, rtol=2e-3)
    found = denoised(final.images)
    passes = np.sqrt(np.square(found - found.mean(0)).sum() / np.square(final.images - final.mean).sum())
    assert final.passes == pytest.approx(passes, rel=2e-3)  # the output is this layer
    np.testing.assert_allclose(final.misfit, rms(change) / STD / final.epsilon, rtol=2e-3)
    before = rms(denoised(proposals.images) - denoised(patch[None]))
    np.testing.assert_allclose(final.proposed_misfit, before / STD / final.epsilon, rtol=2e-3)
    assert (final.misfit < final.proposed_misfit).all()


def test_in_the_full_dose_domain_nothing_is_corrected(models, patch):
    proposals, final = drawn(models, patch, "yang", "8", 4, "full")
    assert not final.corrected
    np.testing.assert_array_equal(proposals.images, final.images)
    np.testing.assert_array_equal(final.moved, 0)
    assert np.isnan(final.misfit).all()
    assert np.isnan(final.proposed_misfit).all()
    assert np.isfinite(final.output_change).all()


def test_a_wider_tolerance_lets_samples_differ_more(models, patch, full):
    narrow, wide = (
        models.sample(patch, "identity", "1", n=6, tolerance=tau, full_dose_hu=full) for tau in (0.2, 1.0)
    )
    assert wide.tolerance_hu == pytest.approx(5 * narrow.tolerance_hu, rel=1e-4)
    assert wide.spread > 2 * narrow.spread


@complete
def test_the_first_samples_do_not_depend_on_how_many_follow(models, patch, full):
    few, many = (models.sample(patch, "chen", "1", n=n, seed=2, full_dose_hu=full) for n in (3, 20))
    np.testing.assert_array_equal(few.invariances, many.invariances[:3])
    assert_same(few.images, many.images[:3])
    assert np.abs(many.images[0] - many.images[1]).max() > 1


def test_what_the_noise_is_known_from(models, patch, full):
    noise = np.random.default_rng(0).normal(0, 25, patch.shape).astype(np.float32)
    options = {
        "partner": {"full_dose_hu": full, "noise_hu": noise},
        "simulation": {"noise_hu": noise},
        "image": {},
    }
    found = {name: models.sample(patch, "identity", "1", n=2, **given) for name, given in options.items()}
    for name, samples in found.items():
        assert samples.noise_from == name
    assert found["simulation"].noise_hu == pytest.approx(noise.std(), rel=0.05)
    assert len({samples.noise_hu for samples in found.values()}) == 3


def test_proposals_for_another_image_are_moved_farther(models, patch):
    trained, question = models.trained_layer("chen", "5", "low"), Question("chen", "5", 4)
    own, of_other = (
        sample_invariances(trained, patch[None], question, proposals_for=other)[0]
        for other in (None, 300 - patch[None, ::-1])
    )
    assert_same(of_other.patch, own.patch)
    assert of_other.epsilon == own.epsilon
    assert of_other.proposed_misfit.mean() > own.proposed_misfit.mean()
    assert of_other.moved.mean() > own.moved.mean()
