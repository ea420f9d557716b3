"""Reading CT from DICOM: values, order, geometry, and what is said about files that do not fit."""

from __future__ import annotations

import shutil
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import AXIAL, write_series, write_slice
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import MPEG2MPML, EnhancedCTImageStorage, JPEGLosslessSV1, generate_uid

from CTInvarianceLib.base import Cancelled, CTInvarianceError, DicomError, GeometryWarning, HounsfieldWarning
from CTInvarianceLib.dicom import DicomHeader, read_header, read_slices
from CTInvarianceLib.dicom.hounsfield import PADDING_HU, _padding, _rescaled, _shifted
from CTInvarianceLib.files import read_volume


@pytest.fixture
def hu() -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 2000, (5, 6, 8), dtype=np.int16)


# Values


def test_values_and_place_of_a_plain_series(tmp_path, hu):
    write_series(tmp_path, hu)
    volume = read_volume(tmp_path)
    assert volume.hu.dtype == np.int16
    assert np.array_equal(volume.hu, hu)
    expected = [[0.5, 0, 0, -10], [0, 0.75, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]
    assert np.abs(volume.affine - expected).max() < 1e-6
    assert volume.source == str(tmp_path)


def test_a_list_and_one_file(tmp_path, hu):
    paths = write_series(tmp_path, hu)
    assert np.array_equal(read_volume([str(path) for path in reversed(paths)]).hu, hu)
    assert np.array_equal(read_volume(paths[2]).hu, hu[2:3])


def test_a_file_that_pydicom_ships(ct_small):
    dataset = pydicom.dcmread(ct_small)
    volume = read_volume(ct_small)
    expected = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    assert np.array_equal(volume.hu[0], np.where(expected <= -2000, -1024, expected))
    assert volume.spacing == pytest.approx((*[float(x) for x in dataset.PixelSpacing], 5.0))


def test_signed_pixels_with_intercept_zero(tmp_path, hu):
    write_series(tmp_path, hu, dtype="<i2", RescaleIntercept=0)
    assert np.array_equal(read_volume(tmp_path).hu, hu)


def test_fractional_slope_gives_float32(tmp_path, hu):
    write_series(tmp_path, hu, RescaleSlope=0.5, RescaleIntercept=-1024)
    assert np.array_equal(read_volume(tmp_path).hu, hu)  # whole HU: nothing is lost in int16
    write_series(tmp_path, hu, RescaleSlope=0.3, RescaleIntercept=-1000.5)
    volume = read_volume(tmp_path)
    assert volume.hu.dtype == np.float32
    assert np.abs(volume.hu - hu).max() < 0.16


def test_slope_and_intercept_of_every_slice(tmp_path, hu):
    for k, (slope, intercept) in enumerate([(1, -1024), (2, 0), (1, -8192), (1.5, -1000)]):
        stored = np.full((6, 8), 7200 if intercept == -8192 else 100 + k, np.uint16)
        write_slice(
            tmp_path / f"{k}.dcm",
            stored,
            RescaleSlope=slope,
            RescaleIntercept=intercept,
            ImagePositionPatient=[0, 0, 2 * k],
        )
    volume = read_volume(tmp_path)
    assert volume.hu[:, 0, 0].tolist() == [-924, 202, -992, -845.5]


def test_metal_and_noisy_air_are_left_alone(tmp_path):
    values = np.array([[[4476, 31743, 3071, -1024, -1430, -1999]]], np.int16)
    write_series(tmp_path, values, dtype="<i2", RescaleIntercept=0)
    assert np.array_equal(read_volume(tmp_path).hu, values)


@pytest.mark.parametrize("padding", [-2000, -2048, -3024, -32768])
def test_padding_without_a_tag(tmp_path, padding):
    values = np.array([[[padding, 40, -1000, 60]]], np.int16)
    write_series(tmp_path, values, dtype="<i2", RescaleIntercept=0)
    assert read_volume(tmp_path).hu.ravel().tolist() == [PADDING_HU, 40, -1000, 60]


@pytest.mark.parametrize("written", [-2000, 63536])
def test_padding_value_signed_or_unsigned(tmp_path, written):
    """GE: signed pixels, padding -2000, sometimes written as the unsigned number of the same bits."""
    stored = np.array([[-2000, 1064, 24]], np.int16)
    path = write_slice(tmp_path / "a.dcm", stored)
    dataset = pydicom.dcmread(path)
    dataset.add_new("PixelPaddingValue", "SS" if written < 0 else "US", written)
    dataset.save_as(path)
    assert read_volume(path).hu.ravel().tolist() == [-1024, 40, -1000]


@pytest.mark.parametrize(("value", "limit"), [(5, 9), (9, 5)])
def test_padding_range(tmp_path, value, limit):
    stored = np.array([[4, 5, 7, 9, 10, 1064]], np.uint16)
    write_slice(
        tmp_path / "a.dcm", stored, PixelPaddingValue=value, PixelPaddingRangeLimit=limit, RescaleIntercept=0
    )
    assert read_volume(tmp_path).hu.ravel().tolist() == [4, -1024, -1024, -1024, 10, 1064]


def test_rle(tmp_path, hu):
    paths = write_series(tmp_path, hu, rle=True)
    assert "RLE" in pydicom.dcmread(paths[0]).file_meta.TransferSyntaxUID.name
    assert np.array_equal(read_volume(tmp_path).hu, hu)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"RescaleIntercept": None}, "Rescale"),
        ({"RescaleSlope": 0}, "RescaleSlope 0"),
        ({"RescaleType": "MGML"}, "MGML, not HU"),
    ],
)
def test_values_that_are_not_hu(tmp_path, tags, words):
    write_slice(tmp_path / "a.dcm", np.zeros((4, 4), np.uint16), **tags)
    with pytest.raises(DicomError, match=rf"{words}.*a\.dcm"):
        read_volume(tmp_path)


@pytest.mark.parametrize("intercept", [0, -24, -2048])
def test_a_rescale_that_gives_no_hu_is_named(tmp_path, intercept):
    """As anonymisers leave it that lose tags, and programs that subtract 1024 twice."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    stored = np.where(x**2 + y**2 < 0.7, 1064, 24) + np.random.default_rng(0).normal(0, 5, x.shape)
    tags = {"PixelSpacing": [2, 2], "RescaleIntercept": intercept}
    stored[31, 20:30] = 2500  # bone
    write_slice(tmp_path / "a.dcm", stored.astype(np.uint16), **tags)
    with pytest.warns(HounsfieldWarning, match=r"seem to be shifted.*a\.dcm"):
        read_volume(tmp_path / "a.dcm")


@pytest.mark.parametrize("dtype", ["<u2", "<i2", ">i2"])
@pytest.mark.parametrize("intercept", [0, -1024, -8192, 1000, 32768, -32768])
def test_whole_numbers_come_out_as_through_float64(dtype, intercept):
    stored = np.random.default_rng(4).integers(*limits(dtype), (64, 64), endpoint=True).astype(dtype)
    stored[0, :2] = limits(dtype)
    for image in (stored, stored[:1], stored >> 3, stored >> 5, 9000 + (stored >> 5)):
        image = image.astype(dtype)
        for padding in ((), (63536,), (image.max(), image.min()), (image.max(),)):
            bounds = _padding(DicomHeader(Path("a"), padding=tuple(map(float, padding))), image)
            shifted, expected = _shifted(image, intercept, bounds), _rescaled(image, 1, intercept, bounds)
            assert (shifted is None) == (expected.dtype == np.float32)
            assert shifted is None or np.array_equal(shifted, expected)


def limits(dtype):
    return np.iinfo(np.dtype(dtype)).min, np.iinfo(np.dtype(dtype)).max


def test_unused_bits_of_the_stored_values_do_not_count(tmp_path):
    stored = np.array([[0x0FFF, 0xF001, 0x07FF]], np.uint16)
    write_slice(tmp_path / "a.dcm", stored, BitsStored=12, HighBit=11, RescaleIntercept=0)
    assert read_volume(tmp_path).hu.ravel().tolist() == [0x0FFF, 1, 0x07FF]


@pytest.mark.parametrize("more", [1, 2, 6])
def test_pixels_that_are_padded_a_little(tmp_path, more):
    stored = np.arange(24, dtype=np.uint16).reshape(6, 4)
    path = write_slice(tmp_path / "a.dcm", stored, PixelData=stored.tobytes() + bytes(more))
    assert np.array_equal(read_volume(path).hu[0], stored.astype(int) - 1024)


@pytest.mark.parametrize(
    "tags", [{"Rows": 5}, {"Columns": 3}, {"Rows": 3, "Columns": 4}, {"BitsAllocated": 8}]
)
def test_pixels_that_are_a_row_or_column_too_many(tmp_path, tags):
    """The size is wrong, or there is more than one image."""
    path = write_slice(tmp_path / "a.dcm", np.arange(24, dtype=np.uint16).reshape(6, 4))
    dataset = pydicom.dcmread(path)
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path)
    with pytest.raises(DicomError, match=r"cannot be decoded.*a\.dcm.*48 bytes of pixels"):
        read_volume(path)


# One pass


def test_known_headers_are_not_read_again(tmp_path, hu, monkeypatch):
    headers = [read_header(path) for path in write_series(tmp_path, hu, rle=True)]
    monkeypatch.setattr(pydicom, "dcmread", None)
    assert np.array_equal(read_slices(headers[::-1], tmp_path).hu, hu)


def test_progress_is_heard_of_every_file_and_stops_the_work(tmp_path, hu):
    write_series(tmp_path, hu)
    heard: list[float] = []
    read_volume(tmp_path, progress=heard.append)
    assert np.allclose(heard, np.arange(1, 11) / 10)

    def stop(fraction):
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        read_volume(tmp_path, progress=stop)


def test_memory_is_the_volume_and_a_few_slices(tmp_path):
    hu = np.random.default_rng(0).integers(-1000, 2000, (24, 200, 200), dtype=np.int16)
    write_series(tmp_path, hu)
    read_volume(tmp_path)  # what is imported stays
    tracemalloc.start()
    try:
        volume = read_volume(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < volume.hu.nbytes + 8 * hu[0].nbytes


# Order and geometry


def test_slices_are_sorted_by_position_not_by_name(tmp_path, hu):
    write_series(tmp_path, hu, names=["9", "1.dcm", "c.ima", "10", "02.dcm"])
    assert np.array_equal(read_volume(tmp_path).hu, hu)


def test_descending_files_ascend_along_the_normal(tmp_path, hu):
    write_series(tmp_path, hu, origin=(0, 0, 100), step=(0, 0, -2))
    volume = read_volume(tmp_path)
    assert np.array_equal(volume.hu, hu[::-1])
    assert np.allclose(volume.affine[:3, 2:], [[0, 0], [0, 0], [2, 92]])


@pytest.mark.parametrize(
    "orientation",
    [(0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, -1, 0), (0.8, 0.6, 0, -0.36, 0.48, 0.8)],
    ids=["sagittal", "feet first", "oblique"],
)
def test_every_voxel_of_any_orientation_is_in_place(tmp_path, hu, orientation):
    along_i, along_j = np.reshape(orientation, (2, 3))
    step = 2.5 * np.cross(along_i, along_j)
    write_series(tmp_path, hu, ImageOrientationPatient=list(orientation), step=step)
    volume = read_volume(tmp_path)
    assert np.array_equal(volume.hu, hu)
    expected = np.add((-10, -20, 30), 7 * 0.5 * along_i + 4 * 0.75 * along_j + 3 * step)
    assert np.abs(volume.position(7, 4, 3) - expected).max() < 1e-6


def test_gantry_tilt_shears_the_affine(tmp_path, hu):
    angle = np.radians(12)
    write_series(tmp_path, hu, step=(0, 3 * np.sin(angle), 3 * np.cos(angle)))
    with pytest.warns(GeometryWarning, match=r"tilted by 12\.0 degrees"):
        volume = read_volume(tmp_path)
    assert (
        np.abs(volume.position(0, 0, 4) - [-10, -20 + 12 * np.sin(angle), 30 + 12 * np.cos(angle)]).max()
        < 1e-6
    )
    assert volume.spacing == pytest.approx((0.5, 0.75, 3))


def test_uneven_spacing_is_reported(tmp_path, hu):
    write_series(tmp_path, hu, positions=[(0, 0, z) for z in (0, 3, 6, 10, 13)])
    with pytest.warns(GeometryWarning, match=r"uneven, 3\.000 to 4\.000 mm, first after z = 6\.0 mm"):
        volume = read_volume(tmp_path)
    assert volume.position(0, 0, 4)[2] == pytest.approx(13)


def test_missing_slices_are_counted(tmp_path, hu):
    write_series(tmp_path, hu, positions=[(0, 0, z) for z in (40, 43, 52, 55, 58)])
    with pytest.warns(GeometryWarning, match=r"2 slices are missing, after z = 43\.0 mm") as caught:
        read_volume(tmp_path)
    assert len(caught) == 1


def test_slices_shifted_sideways_are_reported(tmp_path, hu):
    write_series(tmp_path, hu, positions=[(0, 5 * (k == 2), 3 * k) for k in range(5)])
    with pytest.warns(GeometryWarning, match=r"sideways by up to 5\.00 mm"):
        read_volume(tmp_path)


@pytest.mark.parametrize("z", [0.625, 1.25, 0.7])
def test_rounded_positions_are_no_reason_to_warn(tmp_path, hu, z):
    write_series(
        tmp_path, hu, positions=[(-120.0001 * (k % 2) or -120, 0, round(z * k, 3)) for k in range(5)]
    )
    assert read_volume(tmp_path).spacing[2] == pytest.approx(z, abs=1e-3)


@pytest.mark.parametrize(
    ("tags", "thickness"),
    [
        ({"SliceThickness": 5}, 5),
        ({"SliceThickness": None, "SpacingBetweenSlices": -2}, 2),
        ({"SliceThickness": None}, 1),
        ({"SliceThickness": 0}, 1),
    ],
)
def test_one_slice(tmp_path, hu, tags, thickness):
    write_series(tmp_path, hu[:1], **tags)
    volume = read_volume(tmp_path)
    assert volume.shape == (1, 6, 8)
    assert volume.spacing == pytest.approx((0.5, 0.75, thickness))


# What is passed over


def test_files_that_are_not_slices_are_passed_over(tmp_path, hu):
    write_series(tmp_path, hu)
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "DICOMDIR").write_bytes(b"")
    (tmp_path / "._000.dcm").write_bytes(b"macOS")
    write_slice(
        tmp_path / "scout.dcm", np.zeros((9, 9), np.uint16), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )
    write_slice(tmp_path / "mr.dcm", np.zeros((9, 9), np.uint16), Modality="MR", SeriesInstanceUID="9.9")
    shutil.copy(pydicom.data.get_testdata_file("DICOMDIR"), tmp_path / "DICOMDIR2")
    assert np.array_equal(read_volume(tmp_path).hu, hu)


def test_subfolders_are_read(tmp_path, hu):
    write_series(tmp_path / "study" / "series", hu)
    assert np.array_equal(read_volume(tmp_path).hu, hu)


# What is said about what does not fit


def test_a_path_that_is_missing(tmp_path):
    with pytest.raises(DicomError, match=r"no such file.*nowhere"):
        read_volume(tmp_path / "nowhere")
    with pytest.raises(DicomError, match=r"no such file.*gone\.dcm"):
        read_volume([tmp_path / "gone.dcm"])


def test_an_empty_folder(tmp_path):
    with pytest.raises(DicomError, match=f"no files.*{tmp_path.name}"):
        read_volume(tmp_path)
    with pytest.raises(DicomError, match="no files"):
        read_volume([])


def test_a_folder_without_dicom_says_what_is_there(tmp_path):
    (tmp_path / "a.nrrd").write_text("NRRD")
    (tmp_path / "b.txt").write_text("b")
    with pytest.raises(DicomError, match=r"no DICOM files among 2 files \(1 \.nrrd, 1 \.txt\)"):
        read_volume(tmp_path)


def test_an_mr_series(tmp_path, hu):
    write_series(tmp_path, hu, Modality="MR")
    with pytest.raises(DicomError, match="no CT images, only 5 MR"):
        read_volume(tmp_path)


@pytest.mark.parametrize("tags", [{}, {"SamplesPerPixel": 1, "PhotometricInterpretation": "PALETTE COLOR"}])
def test_a_colour_image(tmp_path, tags):
    write_slice(tmp_path / "a.dcm", np.zeros((4, 4, 3), np.uint8), **tags)
    with pytest.raises(DicomError, match=r"colour image.*a\.dcm"):
        read_volume(tmp_path)


def test_mixed_series_are_listed_and_can_be_chosen(tmp_path, hu):
    write_series(tmp_path / "a", hu, SeriesInstanceUID="1.2.7", SeriesDescription="Soft")
    write_series(tmp_path / "b", hu[:2] + 1, SeriesInstanceUID="1.2.8", SeriesDescription="Lung")
    with pytest.raises(DicomError, match="2 series are mixed") as caught:
        read_volume(tmp_path)
    for part in ("series=", "1.2.7 (Soft, 5 slices)", "1.2.8 (Lung, 2 slices)"):
        assert part in caught.value.hint
    assert np.array_equal(read_volume(tmp_path, series="1.2.8").hu, hu[:2] + 1)
    with pytest.raises(DicomError, match=r"no CT series 5\.5.*1\.2\.7"):
        read_volume(tmp_path, series="5.5")


def test_two_slices_at_one_position_are_named(tmp_path, hu):
    write_series(tmp_path, hu)
    shutil.copy(tmp_path / "002.dcm", tmp_path / "copy.dcm")
    with pytest.raises(DicomError, match=r"one position, 002\.dcm and copy\.dcm"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("what", "shape", "tags"),
    [
        ("sizes", (6, 9), {}),
        ("orientations", (6, 8), {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}),
        ("orientations", (6, 8), {"ImageOrientationPatient": [0, 1, 0, -1, 0, 0]}),
        ("pixel spacings", (6, 8), {"PixelSpacing": [0.75, 0.51]}),
    ],
)
def test_slices_that_do_not_form_a_stack(tmp_path, hu, what, shape, tags):
    write_series(tmp_path, hu)
    write_slice(tmp_path / "odd.dcm", np.zeros(shape, np.uint16), ImagePositionPatient=[-10, -20, 90], **tags)
    with pytest.raises(DicomError, match=rf"different {what}.*odd\.dcm"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    "tags", [{"NumberOfFrames": 2}, {"SOPClassUID": EnhancedCTImageStorage}], ids=["frames", "enhanced"]
)
def test_multi_frame_is_not_supported_yet(tmp_path, tags):
    write_slice(
        tmp_path / "a.dcm", np.zeros((8, 4), np.uint16), Rows=4 if "NumberOfFrames" in tags else 8, **tags
    )
    with pytest.raises(DicomError, match=r"multi-frame.*not supported yet.*a\.dcm"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("syntax", "words"), [(JPEGLosslessSV1, "pip install pylibjpeg"), (MPEG2MPML, "uncompressed")]
)
def test_a_compression_without_decoder_names_the_package(tmp_path, syntax, words):
    if syntax == JPEGLosslessSV1 and get_decoder(syntax).is_available:
        pytest.skip("a decoder for lossless JPEG is installed")
    path = write_slice(tmp_path / "a.dcm", np.zeros((4, 4), np.uint16))
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    with pytest.raises(DicomError, match=words) as caught:
        read_volume(path)
    assert syntax.name in caught.value.what


@pytest.mark.parametrize(
    "tag",
    ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Modality", "PixelData"],
)
def test_a_missing_tag_names_the_file(tmp_path, hu, tag):
    write_series(tmp_path, hu)
    write_slice(
        tmp_path / "odd.dcm",
        np.zeros((6, 8), np.uint16),
        **{"ImagePositionPatient": [-10, -20, 45], tag: None},
    )
    with pytest.raises(DicomError, match=r"odd\.dcm"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
        ("PixelSpacing", [0, 1]),
        ("ImagePositionPatient", [1, 2]),
    ],
)
def test_a_plane_that_is_none(tmp_path, tag, value):
    path = write_slice(tmp_path / "a.dcm", np.zeros((6, 8), np.uint16), **{tag: value})
    with pytest.raises(DicomError, match=tag):
        read_volume(path)


def test_truncated_files_are_named_wherever_they_end(tmp_path, hu):
    write_series(tmp_path, hu)
    path = tmp_path / "002.dcm"
    whole = path.read_bytes()
    for length in [0, 100, 140, 200, 300, *range(360, len(whole), 40), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DicomError) as caught:
            read_volume(tmp_path)
        assert "002.dcm" in str(caught.value), length


@pytest.mark.parametrize("rle", [False, True], ids=["raw", "rle"])
def test_damaged_bytes_never_escape_as_another_error(tmp_path, rle):
    rng = np.random.default_rng(2)
    stored = rng.integers(0, 3000, (6, 8)).astype(np.uint16)
    whole = write_slice(tmp_path / "whole.dcm", stored, rle=rle, PixelPaddingValue=63).read_bytes()
    path = tmp_path / "damaged.dcm"
    outcomes, named = {"read": 0, "refused": 0}, 0
    for trial in range(200):
        damaged = bytearray(whole)
        if trial % 4 == 0:
            damaged = damaged[: rng.integers(len(whole))]
        for place in rng.integers(0, max(len(damaged), 1), rng.integers(1, 6) if damaged else 0):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom may say what it thinks of the bytes
            try:
                assert read_volume(path).hu.size
                outcomes["read"] += 1
            except CTInvarianceError as error:
                outcomes["refused"] += 1
                named += "damaged.dcm" in str(error)
    assert named == outcomes["refused"]
    assert min(outcomes.values()) > 20  # both branches were really tried


# Real series


@pytest.mark.parametrize(
    ("name", "spacing"),
    [
        ("tcga_ov_abdomen_toshiba", (1.030, 1.030, 3)),
        ("cptac_pda_chest_siemens", (0.8828125, 0.8828125, 3)),
        ("cptac_lscc_head_toshiba", (0.527, 0.527, 3)),
        ("tcga_thca_neck_philips", (0.515625, 0.515625, 1.5)),
    ],
)
def test_real_patients(shared_data, name, spacing):
    folder = shared_data / "dicom" / name
    volume = read_volume(folder)
    assert volume.shape == (12, 512, 512)
    assert volume.hu.dtype == np.int16
    assert volume.spacing == pytest.approx(spacing, abs=1e-6)
    slices = sorted(
        (pydicom.dcmread(path) for path in folder.iterdir()), key=lambda each: each.ImagePositionPatient[2]
    )
    for k, dataset in enumerate(slices):
        expected = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert np.array_equal(volume.hu[k], np.where(expected <= -2000, PADDING_HU, expected))
        assert np.abs(volume.position(0, 0, k) - np.array(dataset.ImagePositionPatient, float)).max() < 1e-6
    assert volume.hu.min() > -2000


def test_real_water_phantom_is_two_series(shared_data):
    folder: Path = shared_data / "dicom" / "ge_water_phantom"
    uids = [str(pydicom.dcmread(path).SeriesInstanceUID) for path in folder.iterdir()]
    with pytest.raises(DicomError, match="2 series are mixed") as caught:
        read_volume(folder)
    assert all(uid in str(caught.value) for uid in uids)
    volume = read_volume(folder, series=uids[0])
    assert volume.shape == (1, 512, 512)
    assert volume.hu[0, 0, 0] == PADDING_HU
    assert abs(volume.hu[0, 200:312, 200:312].mean()) < 3


def test_the_helper_writes_what_it_says(tmp_path):
    uid = generate_uid()
    dataset = pydicom.dcmread(
        write_slice(tmp_path / "a.dcm", np.zeros((2, 3), np.uint16), SeriesInstanceUID=uid)
    )
    assert (dataset.Rows, dataset.Columns, dataset.SeriesInstanceUID) == (2, 3, uid)
    assert tuple(dataset.ImageOrientationPatient) == AXIAL
