"""What people type into Slicer's Python console."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
from panel_bench import SIZE, SLICES, add_volume, ct, finish

from CTInvarianceLib.base import CTInvarianceError

SQUARE = np.diag([-1.5, -1.5, 3, 1])


@pytest.fixture
def console(panel):
    bench, _ = panel
    return bench, slicer.util.getModuleLogic("CTInvariance")


def test_denoise_blocks_and_returns_the_node(console, tiny_spatial_models):
    import CTInvarianceLib as cti
    from CTInvarianceLib.volumes import CTVolume

    _, logic = console
    volume = add_volume()
    node = logic.denoise(volume, denoiser="yang")
    expected = cti.Models.load(tiny_spatial_models).denoise(CTVolume(ct(), np.eye(4)), "yang")
    np.testing.assert_allclose(slicer.util.arrayFromVolume(node), expected.hu, atol=1e-2)
    assert node.GetAttribute("CTInvariance.denoiser") == "yang"
    assert node.GetAttribute("CTInvariance.program") == f"CTInvariance {cti.__version__}"


def test_simulate_low_dose(console):
    _, logic = console
    low = logic.simulateLowDose(add_volume(ct(shape=(2, 64, 64)), matrix=SQUARE), dose=0.25)
    assert slicer.util.arrayFromVolume(low).shape == (2, 64, 64)
    assert low.GetAttribute("CTInvariance.dose") == "0.25"
    assert "25%" in low.GetName()


def test_what_the_simulation_had_to_assume_stays_with_the_volume(console):
    smooth = np.broadcast_to(np.linspace(0, 60, 64), (2, 64, 64)).round().astype(np.int16)
    _, logic = console
    low = logic.simulateLowDose(add_volume(smooth, matrix=SQUARE))
    assert "does not tell its noise spectrum" in low.GetAttribute("CTInvariance.note")


def test_sample_at_a_point(console):
    _, logic = console
    volume = add_volume()
    from CTInvariancePanel.nodes import ijkToWorld

    center = ijkToWorld(volume, (40, 50, 2))
    result = logic.sampleInvariances(
        volume, center=center, denoiser="chen", layer="5", count=4, size=(32, 48), tolerance=1
    )
    assert slicer.util.arrayFromVolume(result.sample).shape == (1, 32, 48)
    assert result.mean.GetAttribute("CTInvariance.slice") == "2"
    assert result.browser.GetAttribute("CTInvariance.tolerance") == "1.0"
    assert "τ 1 ·" in result.mean.GetName()
    logic.showCompareView(result)
    assert logic.results()[0].browser is result.browser


@pytest.mark.parametrize(
    ("matrix", "partner", "told"),
    [(SQUARE, True, "partner"), (SQUARE, False, "simulation"), (None, False, "image")],
)
def test_the_noise_is_known_from_the_best_there_is(console, matrix, partner, told):
    _, logic = console
    volume = add_volume(matrix=matrix)
    full = add_volume(ct(seed=1), "full dose", matrix) if partner else None
    result = logic.sampleInvariances(volume, denoiser="yang", layer="8", count=2, size=32, fullDoseNode=full)
    assert result.browser.GetAttribute("CTInvariance.noise_from") == told


def test_the_full_dose_partner_must_lie_on_the_same_grid(console):
    bench, logic = console
    volume, other = add_volume(), add_volume(ct(shape=(SLICES, SIZE, SIZE - 8)), "anders")
    job = logic.sampleInvariances(
        volume, denoiser="yang", layer="8", count=2, fullDoseNode=other, size=32, wait=False
    )
    finish(bench, job)
    assert "another grid" in str(job.error)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"denoiser": "dncnn"}, "no denoiser"),
        ({"layer": "3"}, "no flow"),
        ({"models": "nichts"}, "no model set of this name"),
        ({"count": 0}, "0 samples"),
        ({"tolerance": 0}, "tolerance of 0 rescans"),
        ({"tolerance": -0.5}, "tolerance of -0.5 rescans"),
        ({"tolerance": float("nan")}, "tolerance of nan rescans"),
        ({"center": [9e3, 0, 0]}, "outside the volume"),
    ],
)
def test_what_does_not_fit_is_named(console, settings, told):
    _, logic = console
    with pytest.raises(CTInvarianceError, match=told):
        logic.sampleInvariances(add_volume(), **{"denoiser": "yang", "layer": "8", "size": 32, **settings})


def test_training_from_the_console_is_a_job_of_its_own(console, tiny_source, tmp_path):
    import tiny

    bench, logic = console
    pairs = __import__("CTInvarianceLib").find_pairs(tiny_source)
    long = tiny.config("spatial").to_dict()
    long["embedding"]["steps"] = 100000  # it is still there when it is looked at
    job = logic.startTraining(long, pairs, tmp_path / "run")
    assert logic.denoise(add_volume(), denoiser="chen") is not None  # works meanwhile
    bench.wait(lambda: job.stage.startswith("embedding"), what="the second stage of the training")
    job.cancel()
    finish(bench, job)
    assert job.state == "cancelled"
    assert (tmp_path / "run").is_dir()


def test_training_blocks_until_the_model_set_is_there(console, tiny_source, tmp_path):
    import tiny

    _, logic = console
    pairs = __import__("CTInvarianceLib").find_pairs(tiny_source)
    chen = {"architecture": "chen", "layers": [], "patch_size": 17, "steps": 2, "batch_size": 2}
    config = tiny.config("complete", denoisers={"chen": chen}).to_dict()
    result = logic.train(config, pairs, tmp_path / "run")
    assert result == {"out": str(tmp_path / "run")}
    assert (tmp_path / "run" / "denoisers" / "chen.safetensors").is_file()
    with pytest.raises(CTInvarianceError, match="there is a model set in this folder already"):
        logic.train(config, pairs, tmp_path / "run")
    with pytest.raises(CTInvarianceError, match="does not say what is to be trained"):
        logic.resumeTraining(tmp_path / "run")


def test_what_a_training_takes_is_known_before(console):
    _, logic = console
    little, much, simulated = (
        logic.trainingCost("quick", slices, alone) for slices, alone in ((10, 0), (1000, 0), (1000, 1000))
    )
    assert (little["store"], much["store"]) == (10 * 512 * 512 * 2, 1000 * 512 * 512 * 2)
    assert simulated["store"] == 2 * much["store"], "low and full dose are kept"
    assert 5e6 < little["models"] < 50e6
    large = logic.trainingCost("reference", 10)
    assert large["seconds"] > 10 * little["seconds"]
    assert large["models"] > little["models"]
    with pytest.raises(CTInvarianceError, match="no preset"):
        logic.trainingCost("schnell", 10)
