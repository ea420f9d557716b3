"""What sampling leaves of several slices: values and places, in the patient and on the picture."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc

import nrrd
import numpy as np
import pytest
import tiny
from matplotlib.image import imread

import CTInvarianceLib as cti
from CTInvarianceLib.app import main
from CTInvarianceLib.base import VolumeError
from CTInvarianceLib.files import write_sequence
from CTInvarianceLib.low_dose import scan_noise
from CTInvarianceLib.report import draw_montage, summary, table, write_samples
from CTInvarianceLib.sampling import Samples
from CTInvarianceLib.trust import Evidence
from CTInvarianceLib.volumes import Place, Region

FIRST, COUNT, N, SEED = 1, 2, 3, 5
REGION = Region(10, 21, 30, 38)


def affines() -> dict[str, np.ndarray]:
    turn = np.array([[0, -0.3, 0.02], [0.3, 0, -0.01], [-0.02, 0.01, 0]])
    oblique = np.linalg.solve(
        np.eye(3) - turn, np.eye(3) + turn
    )  # Cayley: 33 degrees within the slices, 2 out of them
    sheared = np.array([[1, 0, 0], [0, 1, np.sin(0.3)], [0, 0, np.cos(0.3)]])
    directions = {
        "straight": np.eye(3),
        "flipped": np.diag([-1.0, 1.0, -1.0]),
        "mirrored": np.diag([1.0, 1.0, -1.0]),
        "oblique": oblique,
        "sheared": sheared,
    }
    return {name: affine(direction) for name, direction in directions.items()}


def affine(direction: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = direction * (0.8828125, 1.03, 2.9999)
    matrix[:3, 3] = (-276.3671, -263.6718, 1373.123456789)
    return matrix


@pytest.fixture(scope="module")
def hu(tiny_source):
    """Four slices that differ."""
    image = cti.read_volume(tiny.series(tiny_source)).hu[0]
    noise = np.random.default_rng(0).normal(0, 60, (4, *image.shape))
    return (np.stack([np.roll(image, 5 * k, axis=1) for k in range(4)]) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def quiet(hu):
    """Their full-dose partner."""
    return (hu + np.random.default_rng(1).normal(0, 30, hu.shape)).astype(np.float32)


@pytest.fixture(params=["spatial", "complete"])
def folder_of_models(request):
    return request.getfixturevalue(f"tiny_{request.param}_models")


@pytest.fixture
def sample(folder_of_models, hu, quiet, tmp_path):
    """Samples the slab's region through the command line; the volume and the folder."""

    def run(name, *options, place="straight"):
        volume = cti.CTVolume(hu, affines()[place])
        cti.write_volume(volume, tmp_path / "volume.nrrd")
        cti.write_volume(cti.CTVolume(quiet, affines()[place]), tmp_path / "full.nrrd")
        arguments = (
            "sample", tmp_path / "volume.nrrd", "--full-dose", tmp_path / "full.nrrd",
            "--models", folder_of_models, "--denoiser", "chen", "--layer", 1,
            "--slice", FIRST, "--slices", COUNT, "-n", N, "--seed", SEED, "--out", tmp_path / name,
        )  # fmt: skip
        assert main([str(a) for a in (*arguments, *(options or ("--size", 30, 38, "--center", 25, 40)))]) == 0
        return volume, tmp_path / name

    return run


@pytest.mark.parametrize("folder_of_models", ["spatial"], indirect=True)
@pytest.mark.parametrize("place", affines())
def test_every_voxel_lies_where_it_lay(sample, place):
    volume, folder = sample("out", place=place)
    k, j, i = np.indices((COUNT, REGION.height, REGION.width))
    expected = volume.position(i + REGION.left, j + REGION.top, k + FIRST)
    for name in ("mean.nrrd", "std.nrrd"):
        written = cti.read_volume(folder / name)
        assert written.shape == k.shape
        assert np.abs(written.position(i, j, k) - expected).max() < 1e-6
    data, header = nrrd.read(str(folder / "samples.seq.nrrd"), index_order="C")
    assert data.shape == (N, *k.shape)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = header["space directions"][:3].T, header["space origin"]
    assert np.abs(cti.CTVolume(data[0], matrix).position(i, j, k) - expected).max() < 1e-6


def test_every_slice_has_the_samples_that_it_has_alone(sample, folder_of_models, quiet):
    volume, folder = sample("out")
    models = cti.Models.load(folder_of_models)
    data, _ = nrrd.read(str(folder / "samples.seq.nrrd"), index_order="C")
    mean, std = (cti.read_volume(folder / name).hu for name in ("mean.nrrd", "std.nrrd"))
    found = json.loads((folder / "table.json").read_text())
    assert found["region"] == {"slices": [1, 3], "rows": [10, 40], "columns": [21, 59]}
    assert (found["slice"], found["center"], found["n"], found["seed"]) == (FIRST, [25, 40], N, SEED)
    for k in range(COUNT):
        alone = models.sample(
            volume.hu[FIRST + k],
            "chen",
            "1",
            n=N,
            seed=SEED + k,
            full_dose_hu=quiet[FIRST + k],
            region=REGION,
        )
        np.testing.assert_allclose(data[:, k], alone.images, atol=0.05)
        np.testing.assert_allclose(mean[k], alone.mean, atol=0.05)
        np.testing.assert_allclose(std[k], alone.std, atol=0.05)
        row, expected = found["slices"][k], table([alone], denoiser="chen")
        assert (row["slice"], row["seed"]) == (FIRST + k, SEED + k)
        assert row["invariance"]["noise_from"] == "partner"
        for group in ("invariance", "consistency", "hu"):
            assert row[group].keys() == expected[group].keys()
            for name, value in expected[group].items():
                near = value if isinstance(value, str) else pytest.approx(value, rel=1e-3, abs=1e-3)
                assert row[group][name] == near, name


@pytest.mark.parametrize("options", [("--whole",), ("--size", 30, 38, "--center", 25, 40)], ids=str)
def test_tiles_change_no_number(sample, options):
    _, at_once = sample("at once", *options)
    _, in_tiles = sample("in tiles", *options, "--tile", 16)
    for name in ("mean.nrrd", "std.nrrd"):
        once, tiled = (cti.read_volume(folder / name) for folder in (at_once, in_tiles))
        np.testing.assert_allclose(tiled.hu, once.hu, atol=0.02)
        np.testing.assert_array_equal(tiled.affine, once.affine)
    once, tiled = (
        nrrd.read(str(folder / "samples.seq.nrrd"), index_order="C")[0] for folder in (at_once, in_tiles)
    )
    np.testing.assert_allclose(tiled, once, atol=0.02)
    once, tiled = (json.loads((folder / "table.json").read_text()) for folder in (at_once, in_tiles))
    for one, other in zip(once.pop("slices"), tiled.pop("slices"), strict=True):
        assert one["consistency"]["of_every_sample"] == pytest.approx(
            other["consistency"]["of_every_sample"], abs=1e-3
        )
    assert once == tiled


def test_a_slab_of_patches_with_a_vector_embedding(tiny_models, hu, tmp_path):
    square = affines()["oblique"]
    square[:, 1] *= 0.8828125 / 1.03
    volume = cti.CTVolume(hu, square)
    cti.write_volume(volume, tmp_path / "volume.nrrd")
    arguments = (
        "sample", tmp_path / "volume.nrrd", "--models", tiny_models, "--denoiser", "chen", "--layer", 1,
        "--slices", 4, "-n", N, "--out", tmp_path / "out",
    )  # fmt: skip
    assert main([str(a) for a in arguments]) == 0
    mean = cti.read_volume(tmp_path / "out" / "mean.nrrd")
    models = cti.Models.load(tiny_models)
    noise = scan_noise(volume)[:, 16:48, 16:48]
    for k in range(4):
        alone = models.sample(hu[k, 16:48, 16:48], "chen", "1", n=N, seed=k, noise_hu=noise[k])
        np.testing.assert_allclose(mean.hu[k], alone.mean, atol=0.05)
    np.testing.assert_allclose(mean.position(3, 2, 1), volume.position(19, 18, 1), atol=1e-6)


def test_pixels_that_are_not_square_are_sampled_without_a_partner(tiny_models, hu, tmp_path):
    cti.write_volume(cti.CTVolume(hu, affines()["straight"]), tmp_path / "volume.nrrd")
    arguments = (
        "sample", tmp_path / "volume.nrrd", "--models", tiny_models, "--denoiser", "chen", "--layer", 1,
        "-n", N, "--out", tmp_path / "out",
    )  # fmt: skip
    assert main([str(a) for a in arguments]) == 0
    assert json.loads((tmp_path / "out" / "table.json").read_text())["invariance"]["noise_from"] == "image"


# Places


def test_what_is_not_said_lies_in_the_middle(hu):
    volume = cti.CTVolume(hu, np.eye(4))
    assert Place.choose(volume, (32, 20)) == Place(2, 1, Region(16, 22, 32, 20))
    assert Place.choose(volume, (3, 5), count=2) == Place(1, 2, Region(31, 30, 3, 5))
    assert Place.choose(volume, None, count=4) == Place(0, 4, Region(0, 0, 64, 64))


def test_a_place_is_cut_as_numpy_cuts_it(hu):
    volume = cti.CTVolume(hu, affines()["oblique"])
    place = Place.choose(volume, (30, 38), first=1, count=2, centre=(25, 40))
    assert place.region == REGION
    np.testing.assert_array_equal(place.cut(volume).hu, hu[1:3, 10:40, 21:59])
    patch, region = place.seen(volume, alone=True)
    assert region is None
    np.testing.assert_array_equal(patch, hu[1:3, 10:40, 21:59])
    slices, region = place.seen(volume, alone=False)
    assert region == REGION
    np.testing.assert_array_equal(slices, hu[1:3])


@pytest.mark.parametrize("slices", [slice(3, 5), slice(-5, 2), slice(2, 2)])
def test_slabs_outside_are_an_error(hu, slices):
    with pytest.raises(VolumeError, match="slices"):
        cti.CTVolume(hu, np.eye(4)).crop(slices, slice(0, 2), slice(0, 2))


# The files and the picture


def drawn(
    shape: tuple[int, int], n: int = 3, seed: int = 0, value: float | None = None, domain: str = "low"
) -> Samples:
    images = np.random.default_rng(seed).normal(40, 20, (n, *shape)).astype(np.float32)
    if value is not None:
        images[:] = value
    changes = np.linspace(3, 5, n)
    evidence = Evidence(changes / 5, changes, changes, changes * 2, changes * 4, 0.3, 0.4, 0.5, 1.5, 0.25)
    return Samples(
        patch=images[0], denoised=images[0], target=images[0], embedded=images[0], images=images,
        invariances=images, latents=images, tolerance=0.5, tolerance_hu=2.5, epsilon=0.01, noise_hu=20.0,
        noise_from="partner", closed_form=6.0, moved=np.full(n, 2.0), proposed_spread=7.0,
        proposed_misfit=np.full(n, 1.3), evidence=evidence, consistency=np.linspace(0, 0.1, n), floor=1.0,
        ceiling=9.0, corrected=True, from_flow=True, layer="8", domain=domain, seed=seed,
    )  # fmt: skip


def test_the_numbers_of_a_draw_are_its_own():
    """docs/method.md, "Numbers that go with every draw"."""
    samples = drawn((8, 8))
    found = table([samples], denoiser="chen", slice=4)
    assert (found["denoiser"], found["layer"], found["domain"], found["slice"]) == ("chen", "8", "low", 4)
    assert found["invariance"] == {
        "tolerance": 0.5, "tolerance_hu": 2.5, "epsilon": 0.01, "noise_hu": 20.0, "noise_from": "partner",
        "closed_form": 6.0, "spread": samples.spread, "proposed_spread": 7.0, "moved_mean": 2.0, "moved_max": 2.0,
        "proposed_misfit": pytest.approx(1.3), "misfit_mean": pytest.approx(0.8), "misfit_max": pytest.approx(1.0),
        "change_rms": pytest.approx((50 / 3) ** 0.5), "change_95": pytest.approx(8.0), "change_max": pytest.approx(20),
        "arrives": 1.5, "noise_arrives": pytest.approx(0.25 * samples.spread), "passes": 0.3, "noise_passes": 0.4,
        "displaced_passes": 0.5, "visibility": pytest.approx(0.75),
    }  # fmt: skip
    json.dumps(found, allow_nan=False)
    sentence = summary([samples])
    for words in (
        "0.5 rescans (2.5 HU",
        f"differ by {samples.spread:.1f} HU",
        "V = 0.75",
        "from the partner",
    ):
        assert words in sentence, words


def test_of_full_dose_no_misfit_is_told():
    samples = drawn((8, 8), domain="full")
    found = table([samples], denoiser="chen")["invariance"]
    assert [found[name] for name in ("misfit_mean", "misfit_max", "proposed_misfit")] == [None] * 3
    assert summary([samples]) == (
        f"full-dose images that may be behind this one differ by {samples.spread:.1f} HU"
    )


def test_proposals_are_told_without_evidence():
    proposals = dataclasses.replace(drawn((8, 8)), evidence=None, corrected=False)
    found = table([proposals], denoiser="chen")["invariance"]
    assert found["spread"] == proposals.spread
    assert "misfit_mean" not in found


def test_nothing_is_copied_together_to_be_written(tmp_path):
    slab = [drawn((128, 128), n=200, seed=k) for k in range(3)]  # 39 MB
    geometry = cti.CTVolume(np.zeros((3, 128, 128), np.float32), np.eye(4))
    tracemalloc.start()
    images = [[samples.images[i] for samples in slab] for i in range(200)]
    write_sequence(images, geometry, tmp_path / "a.seq.nrrd")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6
    data, _ = nrrd.read(str(tmp_path / "a.seq.nrrd"), index_order="C")
    np.testing.assert_array_equal(data, np.stack([samples.images for samples in slab], axis=1))


def test_a_slab_that_does_not_fit_its_geometry_leaves_nothing(tmp_path):
    geometry = cti.CTVolume(np.zeros((3, 8, 9), np.float32), np.eye(4))
    for images in (np.zeros((5, 2, 8, 9)), np.zeros((5, 8, 9)), [np.zeros((3, 8, 9)), np.zeros((3, 9, 8))]):
        with pytest.raises(VolumeError, match=r"do not fit.*a\.seq\.nrrd"):
            write_sequence(images, geometry, tmp_path / "a.seq.nrrd")
    assert not list(tmp_path.iterdir())


def grey_boxes(path) -> tuple[list[int], list[int]]:
    """Widths and heights, in dots, of the rectangles of medium grey that a picture is made of."""
    picture = imread(path)[..., :3]
    grey = (np.abs(picture - 0.5) < 0.01).all(-1)
    return runs(grey.mean(0) > 0.05), runs(grey.mean(1) > 0.05)


def runs(flags: np.ndarray) -> list[int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return [int(end - start) for start, end in edges.reshape(-1, 2) if end - start > 20]


@pytest.mark.parametrize(
    ("shape", "slices", "columns"),
    [((128, 128), 1, 7), ((512, 512), 2, 6), ((400, 512), 3, 6), ((100, 80), 2, 7)],
)
def test_the_picture_keeps_proportions_and_has_a_row_for_every_slice(tmp_path, shape, slices, columns):
    rows = [(f"slice {k}", drawn(shape, value=50.0)) for k in range(slices)]
    draw_montage(rows, tmp_path / "a.png", title="grey", window=(50, 400))
    widths, heights = grey_boxes(tmp_path / "a.png")
    assert len(widths) == columns
    assert len(heights) == slices
    assert widths[0] / heights[0] == pytest.approx(shape[1] / shape[0], rel=0.03)
    assert max(widths[0], heights[0]) > (300 if max(shape) > 256 else 180)


@pytest.mark.parametrize(("inside_hu", "soft_tissue"), [(50, True), (-800, False)])
def test_air_around_the_patient_is_no_reason_to_show_lungs(tmp_path, inside_hu, soft_tissue):
    samples = drawn((200, 200), value=-1000.0)
    for image in (samples.patch, *samples.images):
        image[50:150, 50:150] = 50
        image[80:120, 60:140] = inside_hu
    draw_montage([("a", samples)], tmp_path / "a.png", title="")
    grey = (np.abs(imread(tmp_path / "a.png")[..., 0] - 0.5) < 0.01).mean()
    assert (grey > 0.1) == soft_tissue, "50 HU are the middle of the window for soft tissue, and of no other"


def test_many_slices_do_not_make_an_endless_picture(tmp_path):
    slab = [drawn((16, 16), n=1, seed=k) for k in range(60)]
    geometry = cti.CTVolume(np.zeros((60, 16, 16), np.float32), np.eye(4))
    write_samples(slab, geometry, tmp_path, denoiser="chen", slice=100)
    height, _ = imread(tmp_path / "montage.png").shape[:2]
    assert height < 24 * 1.6 * 130 + 200
    found = json.loads((tmp_path / "table.json").read_text())
    assert [row["slice"] for row in found["slices"]] == list(range(100, 160))
