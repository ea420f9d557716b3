"""The section Data on a real database: found, searched, ticked, loaded, simulated."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import dicom_files
import slicer
from bench.dicom_database import DicomDatabase
from panel_bench import ct, panel_with
from pydicom.uid import generate_uid

SQUARE = {"PixelSpacing": [1.5, 1.5]}


@pytest.fixture
def database(bench, tmp_path):
    """A pair, a scan without partner whose files are shuffled, an MR series."""
    opened = DicomDatabase(tmp_path / "Datenbank ä")
    slicer.dicomDatabase = opened
    yield opened
    opened.closeDatabase()
    slicer.dicomDatabase = None


def fill(database, folder):
    body = ct(shape=(3, 64, 64)).clip(-1024)
    study = generate_uid()
    for dose in ("Low", "Full"):
        dicom_files.write_series(
            folder / "dicom" / dose, body, PatientID="P1", PatientName="Müller^Jörg", StudyInstanceUID=study,
            SeriesInstanceUID=generate_uid(), SeriesDescription=f"{dose} Dose Images", **SQUARE,
        )  # fmt: skip
    for patient, modality in (("P2", "CT"), ("P3", "MR")):
        dicom_files.write_series(
            folder / "dicom" / patient, body, PatientID=patient, PatientName=patient, Modality=modality,
            names=["c.dcm", "a.dcm", "b.dcm"], StudyInstanceUID=generate_uid(),
            SeriesInstanceUID=generate_uid(), SeriesDescription=f"Abdomen {patient}", **SQUARE,
        )  # fmt: skip
    database.addFolder(folder / "dicom")
    return body


@pytest.fixture
def data(bench, database, tiny_spatial_models, tmp_path, monkeypatch):
    body = fill(database, tmp_path)
    with panel_with(bench, tiny_spatial_models, tmp_path, monkeypatch) as widget:
        section = widget.panel.data
        bench.wait(lambda: section.ui.tree.topLevelItemCount == 3, what="the database")
        yield bench, section, body


def leaf(section, text):
    """The item of a series or volume, by its beginning."""
    found, queue = [], [section.ui.tree.topLevelItem(k) for k in range(section.ui.tree.topLevelItemCount)]
    while queue:
        item = queue.pop(0)
        queue += [item.child(k) for k in range(item.childCount())]
        if not item.childCount() and item.text(0).startswith(text):
            found.append(item)
    (item,) = found
    return item


def load(bench, section, *ticked):
    """Tick series, or leave what is selected, press Load, and wait until all are there."""
    from PySide6.QtCore import Qt

    for name in ticked:
        leaf(section, name).setCheckState(0, Qt.CheckState.Checked)
    bench.click(section.ui.loadButton)
    bench.wait(lambda: not opening(section), 30, "the volumes")


def opening(section):
    return section.panel.message.text.startswith("Loading")


def volumes():
    return slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")


def test_pairs_and_what_cannot_be_used(data):
    _, section, _ = data
    assert leaf(section, "Low Dose").text(1) == "low, paired"
    assert section.ui.dataLabel.text == "Patients: 3, usable series: 3, pairs of low and full dose: 1."
    assert leaf(section, "Abdomen P3").isDisabled()
    assert "MR, not CT" in leaf(section, "Abdomen P3").text(0)
    assert {section.ui.tree.topLevelItem(k).text(3) for k in range(3)} == {"training", "validation", ""}
    pairs = section.logic.pairs()
    assert [pair.low_dose is not None for pair in pairs] == [True, False]


def test_search(data):
    _, section, _ = data
    section.ui.searchBox.setText("jörg full")
    assert section.ui.tree.topLevelItemCount == 1
    assert leaf(section, "Full Dose").text(2) == "3"
    section.ui.searchBox.setText("")
    assert section.ui.tree.topLevelItemCount == 3


def test_ticked_series_are_loaded_in_the_order_of_their_slices(data):
    from PySide6.QtCore import Qt

    bench, section, body = data
    for name in ("Full Dose", "Abdomen P2"):
        leaf(section, name).setCheckState(0, Qt.CheckState.Checked)
    load(bench, section)
    loaded = volumes()
    assert len(loaded) == 2
    for node in loaded:
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), body)
    bench.wait(lambda: section.ui.tree.topLevelItemCount == 4, what="the scene in the tree")
    assert section.parameters.inputVolume is loaded[-1]


def test_simulating_low_dose_of_a_series(data):
    bench, section, _ = data
    section.ui.tree.setCurrentItem(leaf(section, "Abdomen P2"))
    bench.click(section.ui.simulateButton)
    bench.wait(lambda: section.parameters.fullDoseVolume is not None, what="the low dose")
    low, full = section.parameters.inputVolume, section.parameters.fullDoseVolume
    noise = [slicer.util.arrayFromVolume(node)[:, 20:28, 12:24].std() for node in (low, full)]
    assert noise[0] > 1.5 * noise[1]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    items = [hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in (low, full)]
    assert items[0] == items[1], "the result lies in the study of its input"
    assert low.GetAttribute("CTInvariance.note") is None, "its noise can be seen"


def doses(section):
    """Names of input and partner."""
    chosen = section.parameters.inputVolume, section.parameters.fullDoseVolume
    return tuple(None if node is None else node.GetName() for node in chosen)


@pytest.mark.parametrize("others", [(), ("Abdomen P2",)])
def test_low_and_full_dose_ticked_together_become_input_and_partner(data, others):
    bench, section, _ = data
    load(bench, section, "Full Dose", "Low Dose", *others)
    assert doses(section) == ("Low Dose Images", "Full Dose Images")
    assert "Full Dose Images is the full dose of Low Dose Images" in section.panel.message.text
    assert len(volumes()) == 2 + len(others)
    assert not section._ticked()


@pytest.mark.parametrize("order", [("Low", "Full"), ("Full", "Low")])
def test_one_after_the_other_they_become_a_pair_too(data, order):
    bench, section, _ = data
    for dose in order:
        section.ui.tree.setCurrentItem(leaf(section, f"{dose} Dose"))
        load(bench, section)
    assert doses(section) == ("Low Dose Images", "Full Dose Images")
    section.ui.tree.setCurrentItem(leaf(section, "Abdomen P2"))
    load(bench, section)
    assert doses(section) == ("Abdomen P2", None), "the partner of another scan is no partner"


def test_a_series_is_loaded_once_whatever_is_clicked(data):
    bench, section, _ = data
    item = leaf(section, "Abdomen P2")
    section.ui.tree.setCurrentItem(item)
    section.ui.loadButton.click()
    section.ui.loadButton.click()  # before the first click has done anything
    section.ui.tree.itemDoubleClicked.emit(item, 0)
    section.ui.simulateButton.click()
    bench.wait(lambda: not opening(section), 30, "the volume")
    (volume,) = volumes()
    load(bench, section, "Abdomen P2")  # ticked and selected
    section.ui.tree.itemDoubleClicked.emit(leaf(section, "Abdomen P2"), 0)
    bench.wait(lambda: not opening(section), 30, "the volume")
    assert volumes() == [volume]
    bench.click(section.ui.simulateButton)
    bench.wait(lambda: section.parameters.fullDoseVolume is not None, what="the low dose")
    assert section.parameters.fullDoseVolume is volume
    assert len(volumes()) == 2
    section.ui.tree.setCurrentItem(leaf(section, "Full Dose"))
    load(bench, section)
    assert section.parameters.fullDoseVolume is None
    in_scene = lambda: section._sceneItem is not None and section._sceneItem.childCount() == 3  # noqa: E731
    bench.wait(in_scene, 30, "the scene in the tree")
    section.ui.tree.itemDoubleClicked.emit(leaf(section, "25% dose"), 0)
    bench.wait(lambda: not opening(section), 30, "the simulated volume")
    assert section.parameters.fullDoseVolume is volume, "a simulated volume knows what it was simulated from"


def test_what_was_loaded_in_another_module_is_not_loaded_again(data):
    from DICOMLib import DICOMUtils

    bench, section, _ = data
    uid = next(uid for uid, row in section._series.items() if row.description == "Abdomen P2")
    (there,) = (slicer.mrmlScene.GetNodeByID(node) for node in DICOMUtils.loadSeriesByUID([uid]))
    clone = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, there, "painted")
    load(bench, section, "Abdomen P2")
    assert section.parameters.inputVolume is there
    slicer.mrmlScene.RemoveNode(there)
    load(bench, section, "Abdomen P2")
    assert section.parameters.inputVolume not in (there, clone, None), "a clone is another volume"


def test_one_series_that_fails_does_not_stop_the_others(data, tmp_path):
    bench, section, _ = data
    (tmp_path / "dicom" / "P2" / "b.dcm").unlink()
    load(bench, section, "Abdomen P2", "Low Dose", "Full Dose")
    assert doses(section) == ("Low Dose Images", "Full Dose Images")
    assert "1 of 3 files of the series are gone" in section.panel.message.text


def test_it_is_said_what_is_loaded_before_it_is(data):
    bench, section, _ = data
    said = []
    tell, section.panel.say = (
        section.panel.say,
        lambda text: (said.append((text, len(volumes()))), tell(text)),
    )
    load(bench, section, "Full Dose", "Abdomen P2")
    assert said[:2] == [
        ("Loading 1 of 2: Full Dose Images …", 0),
        ("Loading 2 of 2: Abdomen P2 …", 1),
    ]


def test_ticks_outlive_a_search(data):
    bench, section, _ = data
    from PySide6.QtCore import Qt

    leaf(section, "Low Dose").setCheckState(0, Qt.CheckState.Checked)
    section.ui.searchBox.setText("full")
    leaf(section, "Full Dose").setCheckState(0, Qt.CheckState.Checked)
    section.ui.searchBox.setText("")
    load(bench, section)
    assert doses(section) == ("Low Dose Images", "Full Dose Images")


def test_files_that_are_gone_are_named(data, tmp_path):
    bench, section, _ = data
    (tmp_path / "dicom" / "P2" / "b.dcm").unlink()
    section.ui.tree.setCurrentItem(leaf(section, "Abdomen P2"))
    load(bench, section)
    assert "1 of 3 files of the series are gone" in section.panel.message.text
    assert "b.dcm" in section.panel.message.text


def test_an_import_is_noticed_once_it_is_quiet(data, tmp_path):
    bench, section, body = data
    dicom_files.write_series(
        tmp_path / "später", body, PatientID="P9", PatientName="P9", StudyInstanceUID=generate_uid(),
        SeriesInstanceUID=generate_uid(), SeriesDescription="Later", **SQUARE,
    )  # fmt: skip
    slicer.dicomDatabase.addFolder(tmp_path / "später")
    bench.wait(lambda: section.ui.tree.topLevelItemCount == 4, what="the new patient")


@pytest.mark.slow
def test_real_scans_are_loaded_and_denoised(
    bench, database, shared_data, tiny_spatial_models, tmp_path, monkeypatch
):
    database.addFolder(shared_data / "dicom" / "cptac_lscc_head_toshiba")
    with panel_with(bench, tiny_spatial_models, tmp_path, monkeypatch) as widget:
        section = widget.panel.data
        bench.wait(lambda: section.ui.tree.topLevelItemCount == 1, what="the database")
        section.ui.tree.setCurrentItem(leaf(section, "Head"))
        load(bench, section)
        volume = section.parameters.inputVolume
        assert slicer.util.arrayFromVolume(volume).shape == (12, 512, 512)
        denoised = widget.logic.denoise(volume, "chen")
        assert slicer.util.arrayFromVolume(denoised).shape == (12, 512, 512)
