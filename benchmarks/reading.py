"""Reading a CT series to HU: ours against SimpleITK's, MONAI's and plain pydicom.

python benchmarks/reading.py [--out FILE.json] [--slices N] [--repeats N]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from monai.data import ITKReader, PydicomReader
from monai.transforms import LoadImage
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.pixels import apply_rescale
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid
from timing import Ratio, compare

from CTInvarianceLib.files import read_volume

SIZE = 512
DIFFERENT = 8  # images; the series repeats them
MORE_TAGS = 60  # a scanner writes about so many that nobody here asks for


def stored_images() -> NDArray[np.uint16]:
    """A head-like phantom in stored values, HU + 1024, with correlated noise of 15 HU and padding around it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    images = np.full((DIFFERENT, SIZE, SIZE), -1000.0)
    for k, image in enumerate(images):
        image[(x / 0.7) ** 2 + (y / 0.85) ** 2 < 1] = 900
        image[(x / 0.64) ** 2 + (y / 0.79) ** 2 < 1] = 40
        image[(x - 0.1) ** 2 + (y + 0.02 * k) ** 2 < 0.03] = 5
        noise = rng.normal(0, 1, (SIZE + 2, SIZE + 2))
        smooth = sum(noise[i : i + SIZE, j : j + SIZE] for i in range(3) for j in range(3)) / 3
        image += 15 * smooth
    images[:, x**2 + y**2 > 1] = -1024
    return np.rint(images + 1024).clip(0, 4095).astype(np.uint16)


def write_series(folder: Path, count: int, *, rle: bool) -> Path:
    """`count` slices, 1 mm apart, in files whose names are in no order, as PACS export them."""
    images, names = stored_images(), np.random.default_rng(1).permutation(count)
    folder.mkdir()
    for k in range(count):
        dataset = one_slice(k)
        dataset.PixelData = images[k % DIFFERENT].tobytes()
        if rle:
            dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(folder / f"{names[k]:04d}.dcm", enforce_file_format=True)
    return folder


def one_slice(k: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(k)])
    dataset = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    dataset.Modality, dataset.PatientID, dataset.ImageType = "CT", "patient", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName, dataset.SeriesDescription = "Nobody", "Head 1.0"
    dataset.Rows = dataset.Columns = SIZE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation, dataset.RescaleSlope, dataset.RescaleIntercept = 0, 1, -1024
    dataset.PixelSpacing, dataset.SliceThickness, dataset.InstanceNumber = [0.5, 0.5], 1, k + 1
    dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-128, -128, k]
    block = dataset.private_block(0x0019, "NOBODY", create=True)
    for element in range(MORE_TAGS):
        block.add_new(element, "DS", str(element))
    return dataset


def simpleitk(folder: Path) -> NDArray[Any]:
    """GDCM finds, sorts, decodes and rescales."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(reader.Execute())


def plain_pydicom(folder: Path) -> NDArray[Any]:
    """The loop of pydicom's own examples."""
    slices = sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda each: each.ImagePositionPatient[2])
    return np.stack([apply_rescale(each.pixel_array, each) for each in slices])


def monai(reader: Any) -> Callable[[Path], NDArray[Any]]:
    """(columns, rows, slices), as MONAI has it."""
    load = LoadImage(reader=reader, image_only=True)
    return lambda folder: load(folder).numpy().transpose(2, 1, 0)


def competitors() -> dict[str, Callable[[Path], NDArray[Any]]]:
    found = {"SimpleITK": simpleitk, "pydicom": plain_pydicom, "MONAI, pydicom": monai(PydicomReader())}
    if find_spec("itk"):
        found["MONAI, itk"] = monai(ITKReader())
    return found


def measure(folder: Path, slices: int, repeats: int) -> dict[str, Ratio]:
    """All of them, after it is certain that they read the same."""
    ratios = {}
    for kind in ("uncompressed", "RLE"):
        series = write_series(folder / kind, slices, rle=kind == "RLE")
        expected = read_volume(series).hu
        for name, theirs in competitors().items():
            if not np.array_equal(theirs(series), expected):
                raise ValueError(f"{name} reads other values")
            ratios[f"{kind}: {name}"] = compare(
                lambda series=series: read_volume(series),
                lambda series=series, theirs=theirs: theirs(series),
                repeats=repeats,
                warm_up=1,
            )
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        ratios = measure(Path(folder), arguments.slices, arguments.repeats)
    print(f"{arguments.slices} slices of {SIZE} x {SIZE}, files in the page cache")
    print(f"{'':29}{'ours, ms':>10}{'theirs, ms':>12}{'ratio':>7}")
    for name, value in ratios.items():
        print(f"{name:29}{1e3 * value.ours:10.0f}{1e3 * value.theirs:12.0f}{value.ratio:7.2f}")
    if arguments.out:
        arguments.out.write_text(
            json.dumps({name: asdict(value) for name, value in ratios.items()}, indent=2)
        )


if __name__ == "__main__":
    main()
