"""Numbers of samples: memory is told before it is taken, a cancel is heard, and a sample is the same in any company."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tiny
import torch

from CTInvarianceLib.base import Cancelled, VolumeError
from CTInvarianceLib.models import Models
from CTInvarianceLib.sampling import drawing, gaussian_drawing, image_drawing
from CTInvarianceLib.tensors import memory

PATCH = np.random.default_rng(0).normal(0, 20, (tiny.PATCH, tiny.PATCH)).astype(np.float32)


@pytest.fixture(scope="module", params=tiny.KINDS)
def models(request):
    found = {"vector": "tiny_models", "spatial": "tiny_spatial_models", "complete": "tiny_complete_models"}
    return Models.load(request.getfixturevalue(found[request.param]), device="cpu")


@pytest.mark.parametrize("n", [10**7, 10**13, 10**30])
@pytest.mark.parametrize("flow", [True, False])
def test_more_samples_than_memory_are_refused_at_once(models, n, flow):
    before, start = tiny.peak_memory(), time.monotonic()
    with pytest.raises(VolumeError, match=r"would take .* GB of memory, and .* GB are free. Ask for fewer"):
        models.sample(PATCH, "chen", "5", n=n, flow=flow)
    assert time.monotonic() - start < 30
    assert tiny.peak_memory() - before < 5e8


@pytest.mark.parametrize("flow", [True, False])
def test_a_cancel_is_heard_before_all_noise_is_drawn(models, flow, monkeypatch):
    """As many samples as would take minutes, where memory is no matter; v alone is reserved, and not filled."""
    monkeypatch.setattr("CTInvarianceLib.sampling.asked.require_memory", lambda *_, **__: None)
    drawn, real = [], torch.randn

    def counted(*shape, **options):
        drawn.append(1)
        return real(*shape, **options)

    monkeypatch.setattr(torch, "randn", counted)

    def cancel(fraction):
        if len(drawn) > 100:
            raise Cancelled

    with pytest.raises(Cancelled):
        models.sample(PATCH, "identity", "1", n=50_000, flow=flow, progress=cancel)
    assert len(drawn) < 25_000


@pytest.mark.parametrize("flow", [True, False])
def test_a_sample_depends_on_its_seed_and_number_alone(models, flow, monkeypatch):
    few = models.sample(PATCH, "identity", "1", n=3, seed=5, flow=flow)
    many = models.sample(PATCH, "identity", "1", n=40, seed=5, flow=flow)
    for module in (drawing, image_drawing, gaussian_drawing):
        monkeypatch.setattr(module, "batch_size", lambda *_, **__: 1)
    one_by_one = models.sample(PATCH, "identity", "1", n=40, seed=5, flow=flow)
    np.testing.assert_array_equal(few.invariances, many.invariances[:3])
    np.testing.assert_array_equal(one_by_one.invariances, many.invariances)
    np.testing.assert_allclose(few.images, many.images[:3], atol=0.02)
    np.testing.assert_allclose(one_by_one.images, many.images, atol=0.02)
    assert len({image.tobytes() for image in many.images}) == 40


def test_the_noise_is_that_of_earlier_versions(models):
    """One stream for a seed, sample after sample; with a flow of images what z + ε η is seen through comes first."""
    samples = models.sample(PATCH, "identity", "1", n=4, seed=11)
    generator = torch.Generator().manual_seed(11)
    if models.config.embedding.kind == "complete":
        torch.randn((1, 1, *PATCH.shape), generator=generator)
    expected = [torch.randn(samples.invariances.shape[1:], generator=generator).numpy() for _ in range(4)]
    np.testing.assert_array_equal(samples.invariances, expected)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_that_no_generator_takes_are_refused(models, seed):
    with pytest.raises(VolumeError, match=r"a seed of .* is not possible"):
        models.sample(PATCH, "identity", "1", n=1, seed=seed)


def test_what_is_free_is_known_and_a_limit_of_a_container_counts(tmp_path, monkeypatch):
    cpu = torch.device("cpu")
    assert memory.free_memory(cpu) > 50e6
    for name, text in {
        "memory.max": "3000000",
        "memory.current": "2000000",
        "memory.stat": "inactive_file 500000",
    }.items():
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.free_memory(cpu) == 1_500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory(cpu) > 50e6
