"""Draws the README's pictures of the panel and the compare layout, with the models that `make demo` leaves.

python Testing/bench/screenshots.py [MODELS [LAYER]]
python Testing/bench/screenshots.py train: that of the section Train alone, which needs no models
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

from bench import start_bench  # noqa: E402 - the path comes first

OUT = ROOT / "Resources" / "Screenshots"
SLICES, SIZE, SPACING = 3, 256, (3.0, 1.5)
ORIGIN = (-191.25, -191.25, 0.0)
HEIGHT = 1180
WIDTHS = {"panel": 440, "panel-narrow": 400}
LAYOUT = 1320, 880
GAP = 12


def phantoms_in_database(folder: Path):
    """A DICOM database with low- and full-dose series of three phantoms none of whom the demo trained on."""
    from dicom_files import write_series
    from pydicom.uid import generate_uid

    from bench.dicom_database import DicomDatabase
    from CTInvarianceLib.phantoms import phantom_pair

    for seed, kind in enumerate(("chest", "abdomen", "head"), 901):
        pair = phantom_pair(kind, seed=seed, slices=SLICES, size=SIZE)
        study = generate_uid()
        for number, dose in enumerate(("low", "full"), 1):
            write_series(
                folder / "dicom" / kind / dose,
                getattr(pair, f"{dose}_dose").hu.clip(-1024, 3071),
                origin=ORIGIN,
                PixelSpacing=[SPACING[1]] * 2,
                PatientID=f"PHANTOM-{seed}",
                PatientName=f"Phantom^{kind.capitalize()}",
                StudyInstanceUID=study,
                StudyDescription=kind.capitalize(),
                SeriesInstanceUID=generate_uid(),
                SeriesDescription=f"{dose.capitalize()} Dose Images",
                SeriesNumber=number,
            )
    database = DicomDatabase(folder / "database")
    database.addFolder(folder / "dicom")
    return database


def use(bench, widget, layer: str) -> None:
    """Load the low- and the full-dose series of the chest, and sample in its middle."""
    import slicer

    data, explore = widget.panel.data, widget.panel.explore
    bench.wait(lambda: data.ui.tree.topLevelItemCount == 3, what="the database in the tree")
    chest = next(patient for patient in data.patients if "Chest" in patient.name)
    from CTInvariancePanel.dicom import database

    low, full = (database.loadSeries(series.uid) for series in chest.series)
    for node in (low, full):
        node.GetScalarVolumeDisplayNode().SetAutoWindowLevel(False)
        node.GetScalarVolumeDisplayNode().SetWindowLevel(500, 0)
    widget.panel.useVolume(low, full)
    explore.ui.denoiserBox.setCurrentIndex(explore.ui.denoiserBox.findData("yang"))
    bench.wait(lambda: explore.description is not None, what="the models")
    explore.ui.layerSlider.setValue(explore.layersOf["yang"].index(layer))
    bench.click(explore.ui.sampleButton)
    job = explore.job
    bench.wait(lambda: job.finished, what="the samples")
    widget.panel.setup.check()
    bench.wait(lambda: not widget.logic.jobs.unfinished, what="the device")
    bench.click(explore.ui.patchButton)
    widget.panel.results.ui.sampleSlider.setValue(6)
    slicer.app.processEvents()


def train(folder: Path) -> None:
    """Write train.png: the section before a training on three phantoms, and while it goes on."""
    import slicer
    from PySide6.QtGui import QImage, QPainter

    bench = start_bench()
    slicer.dicomDatabase = phantoms_in_database(folder)
    widget = bench.load_module("CTInvariance")
    bench.enter()
    section = widget.panel.train
    section.button.collapsed = False
    bench.wait(lambda: widget.panel.data.ui.tree.topLevelItemCount == 3, what="the database in the tree")
    bench.click(section.ui.tickButton)
    section.ui.folderLine.setText("/home/me/Documents/CTInvariance/quick")
    bench.wait(lambda: "Takes" in section.ui.costLabel.text, what="the cost")
    slicer.modules.ctinvariance.widgetRepresentation().resize(WIDTHS["panel-narrow"], HEIGHT)
    slicer.app.processEvents()
    pictures = [section.button.grab().toImage()]
    section.ui.folderLine.setText(str(folder / "models"))
    bench.click(section.ui.startButton)
    bench.wait(lambda: section.training is not None, what="the start")
    training = section.training
    bench.wait(lambda: training.standing.stages.get("denoiser yang", 0) > 0.4, what="a training on its way")
    pictures.append(section.button.grab().toImage())
    training.cancel()
    bench.wait(lambda: training.job.finished, what="the end")
    bench.close()
    slicer.dicomDatabase.closeDatabase()
    both = QImage(
        sum(each.width() for each in pictures) + GAP,
        max(each.height() for each in pictures),
        QImage.Format_RGB32,
    )
    both.fill(pictures[0].pixelColor(2, pictures[0].height() - 2))
    painter = QPainter(both)
    left = 0
    for each in pictures:
        painter.drawImage(left, 0, each)
        left += each.width() + GAP
    painter.end()
    both.save(str(OUT / "train.png"))


def main(models: Path, layer: str) -> None:
    """Write panel.png, panel-narrow.png and compare.png."""
    import slicer

    if not (models / "models.json").is_file():
        sys.exit(f"{models} is no model set. Run `make demo` first, or name one.")
    bench = start_bench()
    slicer.app.settings().setValue("CTInvariance/ModelFolders", str(models))
    with tempfile.TemporaryDirectory() as folder:
        slicer.dicomDatabase = phantoms_in_database(Path(folder))
        widget = bench.load_module("CTInvariance")
        bench.enter()
        use(bench, widget, layer)
        frame = slicer.modules.ctinvariance.widgetRepresentation()
        for name, width in WIDTHS.items():
            frame.resize(width, HEIGHT)
            bench.grab(frame, OUT / f"{name}.png")
        bench.render_layout(OUT / "compare.png", LAYOUT)
        bench.close()
        slicer.dicomDatabase.closeDatabase()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments == ["train"]:
        with tempfile.TemporaryDirectory() as place:
            train(Path(place))
        sys.exit()
    main(
        Path(arguments[0]) if arguments else ROOT / "demo" / "models", arguments[1] if arguments[1:] else "8"
    )
