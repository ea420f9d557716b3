"""The bench behaves as Slicer does, where it says that it does."""

from __future__ import annotations

import enum
import functools

import numpy as np
import pytest


class Dose(enum.Enum):
    LOW = 1
    FULL = 2


@pytest.fixture
def qt(bench):
    import qt

    return qt


@pytest.fixture
def slicer(bench):
    import slicer

    return slicer


def test_properties_are_read_and_set_without_parentheses(qt):
    button = qt.QPushButton("a")
    button.enabled = False
    button.text = "b"
    button.toolTip = "c"
    assert (button.text, button.isEnabled(), button.toolTip) == ("b", False, "c")
    button.setText("d")
    assert button.text == "d"
    spin = qt.QSpinBox()
    spin.maximum, spin.value = 500, 250
    assert spin.value == 250
    assert spin.lineEdit().text == "250"  # made by Qt itself
    text = qt.QPlainTextEdit()
    text.plainText = "x"
    assert text.plainText == text.toPlainText() == "x"


def test_combo_box(qt):
    combo = qt.QComboBox()
    combo.addItem("a", "A")
    combo.addItem("b", "B")
    combo.currentIndex = 1
    assert (combo.count, combo.currentText, combo.itemData(combo.currentIndex)) == (2, "b", "B")
    assert combo.currentData == "B"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda qt: qt.QLabel("a").text(), TypeError),
        (lambda qt: setattr(qt.QLabel("a"), "colour", 1), AttributeError),
        (lambda qt: setattr(qt.QTimer(), "singleShot", True), AttributeError),
        (lambda qt: setattr(qt.QPushButton(), "click", 1), AttributeError),
        (lambda qt: qt.QLabel(text="a"), TypeError),
        (lambda qt: qt.QPushButton().clicked.connect(functools.partial(print, 1)), TypeError),
        (lambda qt: qt.QPushButton().clicked.connect(lambda *args: None), TypeError),
        (lambda qt: qt.QProcess().finished.connect(lambda code, status: None), TypeError),
        (lambda qt: qt.QProcess().write("text"), TypeError),
        (lambda qt: qt.QProcess().write(bytearray(b"text")), TypeError),
        (lambda qt: qt.Signal, AttributeError),
        (lambda qt: qt.QTextCodec, AttributeError),
    ],
)
def test_what_pythonqt_refuses_is_refused(qt, wrong, error):
    with pytest.raises(error):
        wrong(qt)


def test_subclasses_take_attributes(qt):
    class Button(qt.QPushButton):
        def __init__(self, parent=None):
            qt.QPushButton.__init__(self, "a", parent)
            self.number = 3

    assert (Button().number, Button().text) == (3, "a")


def test_signals_pass_as_many_arguments_as_the_callable_takes(qt, bench):
    seen = []
    button = qt.QPushButton()
    button.clicked.connect(lambda: seen.append("none"))
    button.clicked.connect(lambda checked=False, i=3: seen.append((checked, i)))
    button.click()
    assert seen == ["none", (False, 3)]
    qt.QTimer.singleShot(0, lambda: seen.append("later"))
    bench.wait(lambda: "later" in seen, what="the timer")


def test_enums_are_flat_and_layouts_are_falsy_when_empty(qt):
    assert qt.Qt.UserRole + 1 == 257
    assert qt.QProcess().state() == qt.QProcess.NotRunning
    assert qt.QAbstractItemView.NoEditTriggers is not None
    assert not qt.QVBoxLayout()


def test_settings_are_the_benchs_own(qt, bench):
    qt.QSettings().setValue("CTInvariance/a", 5)
    qt.QSettings().sync()
    assert qt.QSettings().fileName().startswith(bench.folder.name)


def test_boxes_are_answered_and_recorded(qt, bench, slicer):
    bench.answers += [False, True, "/data"]
    assert not slicer.util.confirmYesNoDisplay("Sure?")
    assert slicer.util.confirmOkCancelDisplay("Sure?")
    assert qt.QFileDialog.getExistingDirectory(None, "Folder", "") == "/data"
    slicer.util.errorDisplay("Broken", detailedText="why")
    box = qt.QMessageBox()
    box.text = "Read this"
    assert box.exec_() is not None
    assert [message.kind for message in bench.messages] == ["question", "question", "file", "error", "dialog"]
    assert bench.messages[3].details == "why"


def test_errors_in_slots_are_kept(qt, bench, capsys):
    button = qt.QPushButton()
    button.clicked.connect(lambda: 1 / 0)
    button.click()
    assert "ZeroDivisionError" in bench.errors[0]


def test_stalls_are_measured(bench):
    import time

    with bench.stalls() as stalls:
        bench.wait(lambda: len(stalls.gaps) > 2, what="the event loop")
        time.sleep(0.1)
    assert stalls.longest > 90
    assert stalls.busiest < stalls.longest, "who sleeps does not compute"


def test_collapsible_button_folds_its_contents(qt, bench):
    import ctk

    button, inside, seen = ctk.ctkCollapsibleButton(), qt.QLabel("a"), []
    qt.QVBoxLayout(button).addWidget(inside)
    button.contentsCollapsed.connect(seen.append)
    button.show()
    button.collapsed = True
    assert (seen, inside.visible, button.collapsed) == ([True], False, True)
    button.collapsed = False
    assert inside.visible
    with pytest.raises(AttributeError):
        button.fold = True


def test_slider_widget(bench):
    import ctk

    slider, seen = ctk.ctkSliderWidget(), []
    slider.valueChanged.connect(seen.append)
    slider.minimum, slider.maximum, slider.singleStep = -1, 2, 0.1
    slider.value = 5
    assert (slider.value, seen) == (2.0, [2.0])


UI = """<ui version="4.0"><class>Form</class><widget class="qMRMLWidget" name="Form"><layout class="QVBoxLayout">
<item><widget class="qMRMLNodeComboBox" name="selector"><property name="nodeTypes"><stringlist>
<string>vtkMRMLScalarVolumeNode</string></stringlist></property><property name="noneEnabled"><bool>true</bool>
</property><property name="SlicerParameterName" stdset="0"><string>volume</string></property></widget></item>
<item><widget class="QSpinBox" name="count"><property name="maximum"><number>999</number></property>
<property name="SlicerParameterName" stdset="0"><string>count</string></property></widget></item>
<item><widget class="ctkCollapsibleButton" name="more"><property name="collapsed"><bool>true</bool></property>
</widget></item></layout></widget></ui>"""


@pytest.fixture
def form(slicer, tmp_path):
    (tmp_path / "form.ui").write_text(UI)
    widget = slicer.util.loadUI(str(tmp_path / "form.ui"))
    widget.setMRMLScene(slicer.mrmlScene)
    return widget, slicer.util.childWidgetVariables(widget)


def test_node_selector_follows_the_scene(form, slicer):
    _, ui = form
    seen, combo = [], ui.selector.findChild(type(ui.count).__mro__[2], "qt_combo")
    ui.selector.currentNodeChanged.connect(seen.append)
    assert ui.more.collapsed
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "a")
    assert ui.selector.nodeCount() == 1
    assert ui.selector.currentNode() is None
    ui.selector.setCurrentNode(node)
    node.SetName("b")
    assert combo.currentText == "b"
    slicer.mrmlScene.RemoveNode(node)
    assert ui.selector.currentNode() is None
    assert seen == [node, None]


def test_a_deleted_node_selector_observes_nothing(form, slicer, bench):
    from shiboken6 import Shiboken

    widget, _ = form
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "a")
    Shiboken.delete(widget)
    node.SetName("b")
    slicer.mrmlScene.Clear(0)
    assert bench.errors == []


def parameters_class(slicer):
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    class Parameters:
        volume: slicer.vtkMRMLScalarVolumeNode
        count: int = 250
        strength: float = 0.5
        name: str = "x"
        shown: bool = True
        dose: Dose = Dose.FULL
        seed: int | None = None
        layers: list[str]

    Parameters.__annotations__ = {  # this file's annotations are text
        "volume": slicer.vtkMRMLScalarVolumeNode,
        "count": int,
        "strength": float,
        "name": str,
        "shown": bool,
        "dose": Dose,
        "seed": int | None,
        "layers": list[str],
    }
    return parameterNodeWrapper(Parameters)


def new_node(slicer):
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "parameters")


def test_parameters_come_back_with_a_saved_scene(slicer, tmp_path):
    parameters = parameters_class(slicer)(new_node(slicer))
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ct")
    values = {"count": 3, "strength": 0.1, "name": "ä b", "shown": False, "dose": Dose.LOW, "seed": 7}
    for name, value in {**values, "volume": volume, "layers": ["1", "2"]}.items():
        setattr(parameters, name, value)
    path = str(tmp_path / "scene.mrml")
    slicer.mrmlScene.SetURL(path)
    slicer.mrmlScene.Commit(path)
    slicer.mrmlScene.Clear(0)
    slicer.mrmlScene.Import()
    again = parameters_class(slicer)(slicer.util.getNode("parameters"))
    assert {name: getattr(again, name) for name in values} == values
    assert again.volume.GetName() == "ct"
    assert again.layers == ["1", "2"]


def test_parameters_refuse_what_slicer_refuses(slicer):
    parameters = parameters_class(slicer)(new_node(slicer))
    for name, value in (
        ("count", np.int64(3)),
        ("strength", np.float32(1)),
        ("name", 3),
        ("volume", new_node(slicer)),
    ):
        with pytest.raises(TypeError):
            setattr(parameters, name, value)
    parameters.count = True
    with pytest.raises(ValueError, match="True"):
        _ = parameters.count


def test_parameters_and_widgets_keep_in_step(form, slicer):
    _, ui = form
    parameters = parameters_class(slicer)(new_node(slicer))
    tag = parameters.connectGui(ui)
    assert ui.count.value == 250
    ui.count.value = 7
    parameters.volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ct")
    assert parameters.count == 7
    assert ui.selector.currentNode() is parameters.volume
    parameters.disconnectGui(tag)
    ui.count.value = 8
    assert parameters.count == 7


def phantom(slicer):
    array = np.zeros((20, 100, 100), np.int16)
    array[:, :50, :50] = 1000
    volume = slicer.util.addVolumeFromArray(array, name="phantom", nodeClassName="vtkMRMLScalarVolumeNode")
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevel(1000, 500)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume


def test_a_slice_view_shows_the_volume_at_its_place(slicer):
    from bench.pictures import slice_pixels

    phantom(slicer)
    logic = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    logic.ResizeSliceNode(200, 200)
    logic.FitSliceToBackground()
    pixels = slice_pixels(logic, 200, 200)[..., 0]
    to_ras = slicer.util.arrayFromVTKMatrix(logic.GetSliceNode().GetXYToRAS())
    rows, columns = np.mgrid[:200, :200]
    x, y = columns, 199 - rows  # Slicer's pixels count from the bottom
    r, a = (to_ras[k, 0] * x + to_ras[k, 1] * y + to_ras[k, 3] for k in (0, 1))
    bright = (r > 1) & (r < 48) & (a > 1) & (a < 48)
    dark = ((r > 51) | (a > 51)) & (r < 98) & (a < 98)
    assert bright.sum() > 5000
    assert (pixels[bright] == 255).all()
    assert (pixels[dark] == 0).all()


def test_the_layout_is_drawn_with_its_bars_roi_and_legend(slicer, bench, tmp_path):
    from PySide6.QtGui import QImage

    volume = phantom(slicer)
    bench.render_layout(tmp_path / "plain.png", (800, 600))
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.CreateDefaultDisplayNodes()
    roi.SetCenter(50, 50, 10)
    roi.SetSize(40, 40, 10)
    colours = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode")
    colours.SetTypeToWarm1()
    volume.GetDisplayNode().SetAndObserveColorNodeID(colours.GetID())
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(volume)
    legend.SetVisibility(True)
    bench.render_layout(tmp_path / "full.png", (800, 600))
    plain, full = (QImage(str(tmp_path / name)) for name in ("plain.png", "full.png"))
    assert plain.pixelColor(200, 4).name() == "#f34a33"  # the red view's bar
    assert plain != full


def test_layouts_make_their_views(slicer):
    manager = slicer.app.layoutManager()
    xml = (
        '<layout type="horizontal"><item><view class="vtkMRMLSliceNode" singletontag="Mine"/></item></layout>'
    )
    node = manager.layoutLogic().GetLayoutNode()
    if not node.AddLayoutDescription(777, xml):
        node.SetLayoutDescription(777, xml)
    manager.setLayout(777)
    assert "Mine" in manager.sliceViewNames()
    assert manager.sliceWidget("Mine").mrmlSliceNode().GetLayoutName() == "Mine"
    assert [area for _, area in manager.places(100, 80)] == [(0, 0, 100, 80)]
    manager.setLayout(3)


def test_the_module_is_loaded_reloaded_and_closed(slicer, bench):
    widget = bench.load_module("CTInvariance")
    assert slicer.util.getModule("CTInvariance").title == "CT Invariance"
    assert slicer.util.getModuleWidget("CTInvariance") is widget
    assert slicer.util.getModuleLogic("CTInvariance") is widget.logic
    bench.enter()
    again = bench.reload()
    assert again is not widget
    bench.close()
    assert bench.errors == []
