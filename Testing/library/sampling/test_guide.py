"""The conditional decoder: trained, sampled, and refused where f(x) would tell what the layer does not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tiny
import torch
from closeness import assert_same

import CTInvarianceLib as cti
from CTInvarianceLib.base import ConfigError, ModelsError
from CTInvarianceLib.config import Question
from CTInvarianceLib.tensors import normalize
from CTInvarianceLib.volumes import Region

CHEN = {"architecture": "chen", "layers": ["1", "5"], "patch_size": 17, "steps": 6, "batch_size": 4}
YANG = {"architecture": "yang", "patch_size": 32, "loss": "wgan-vgg", "perceptual": "embedding", "steps": 4}


def guided(kind, guide="chen", **denoisers):
    config = tiny.config(kind, denoisers=denoisers or {"chen": CHEN})
    return dataclasses.replace(config, embedding=dataclasses.replace(config.embedding, guide=guide))


@pytest.fixture(scope="module", params=tiny.CODED)
def models(request, tiny_source, tmp_path_factory):
    out, events = tmp_path_factory.mktemp("guided") / "run", []
    trained = cti.train(guided(request.param), tiny_source, out, on_event=events.append)
    stages = list(dict.fromkeys(e["stage"] for e in events if e["event"] == "progress"))
    assert stages.index("denoiser chen") < stages.index("embedding low"), "the guide comes first"
    return trained


@pytest.fixture(scope="module")
def patch(tiny_source):
    return cti.read_volume(tiny.series(tiny_source)).hu[0, 16:48, 16:48]


@pytest.mark.parametrize("domain", ["low", "full"])
def test_samples_are_decoded_with_the_denoised_image(models, patch, domain):
    question = Question("chen", "5", 4, domain)
    (proposals,), (samples,) = tiny.drawn(models, patch[None], question)
    assert samples.images.shape == (4, 32, 32)
    assert np.isfinite(samples.images).all()
    embedding = models.embedding(domain)
    decoded = embedding.decode(samples.latents, samples.denoised)
    assert_same(decoded, proposals.images)
    others = embedding.decode(samples.latents, samples.denoised + 200)
    assert np.abs(decoded - others).max() > 0.1
    embedded = embedding.decode(embedding.encode(samples.target).mean, samples.denoised)
    assert_same(samples.embedded, embedded)


def test_the_flow_maps_the_samples_back_to_their_invariances(models, patch):
    samples = models.sample(patch, "chen", "1", n=3)
    z = cti.representation(models.denoiser("chen"), normalize(torch.from_numpy(patch))[None, None], "1")
    v, _ = models.flow("chen", "1", "low")(torch.from_numpy(samples.latents), z)
    np.testing.assert_allclose(v, samples.invariances, atol=1e-4)


def test_a_guided_decoder_needs_the_denoised_image_and_another_takes_none(models, patch, tiny_models):
    embedding = models.embedding("low")
    latent = embedding.encode(patch).mean
    with pytest.raises(ModelsError, match="the decoder of these models needs the denoised image"):
        embedding.decode(latent)
    plain = cti.Models.load(tiny_models).embedding("low")
    with pytest.raises(ModelsError, match="the decoder of these models takes no denoised image"):
        plain.decode(plain.encode(patch).mean, patch)


def test_a_saved_set_is_guided_when_it_is_opened_again(models, patch):
    again = cti.Models.load(models.folder)
    ours, theirs = (m.sample(patch, "chen", "5", n=2, seed=1).images for m in (again, models))
    assert_same(ours, theirs)


@pytest.mark.parametrize("models", ["spatial"], indirect=True)
def test_tiles_regions_and_slabs_see_their_own_guide(models):
    slices = np.random.default_rng(0).normal(0, 200, (2, 75, 62)).astype(np.float32)

    def proposals(slices, seed=0, tile=None, n=3, **options):
        return tiny.drawn(models, slices, Question("chen", "5", n, seed=seed, tile=tile), **options)[0]

    at_once, tiled = proposals(slices), proposals(slices, tile=16)
    region = Region(20, 13, 31, 27)
    for k in range(2):
        assert_same(tiled[k].images, at_once[k].images)
        (alone,) = proposals(slices[k : k + 1], seed=k)
        assert_same(alone.images, at_once[k].images)
        (part,) = proposals(slices[k : k + 1], n=2, region=region)
        seen = region.of(torch.from_numpy(at_once[k].denoised)).numpy()
        assert_same(part.denoised, seen)
        # The latent's grid reaches beyond the region, where the guide is continued.
        edge = [(0, 4 * cells - side) for cells, side in zip(part.latents.shape[2:], seen.shape, strict=True)]
        decoded = models.embedding("low").decode(part.latents, np.pad(seen, edge, mode="edge"))
        assert_same(decoded[:, :31, :27], part.images)


REFUSED = {
    "names no denoiser": (
        ("unet", {"chen": CHEN}),
        "no denoiser of this name to guide the decoder: embedding, guide 'unet'. There are chen",
    ),
    "another denoiser has layers": (
        ("chen", {"chen": CHEN, "identity": {"architecture": "identity", "layers": ["1"], "loss": "none"}}),
        "guided by chen, so the layers of identity cannot be sampled",
    ),
    "learns from the embedding": (
        ("yang", {"yang": YANG}),
        'learns from the embedding that it is to guide: .* Train it with perceptual = "ct" or "vgg19"',
    ),
}


@pytest.mark.parametrize("kind", tiny.CODED)
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_guide_is_refused_before_anything_is_written(kind, case, tiny_source, tmp_path):
    (guide, denoisers), message = REFUSED[case]
    with pytest.raises(ConfigError, match=message):
        cti.train(guided(kind, guide, **denoisers), tiny_source, tmp_path / "run", on_event=lambda e: None)
    assert not (tmp_path / "run").exists()


def test_a_complete_embedding_needs_no_guide(tiny_source, tmp_path):
    with pytest.raises(ConfigError, match="a complete embedding needs no guide: embedding, guide"):
        cti.train(guided("complete"), tiny_source, tmp_path / "run", on_event=lambda e: None)
    assert not (tmp_path / "run").exists()


def test_a_denoiser_without_layers_may_stand_beside_the_guide(tiny_source, tmp_path):
    config = guided("spatial", chen=CHEN, identity={"architecture": "identity", "loss": "none"})
    models = cti.train(config, tiny_source, tmp_path / "run", on_event=lambda e: None)
    assert models.denoisers == ["chen", "identity"]
