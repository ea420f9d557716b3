"""The bench itself: starts what stands in for Slicer, loads modules, waits, clicks, measures."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import ModuleType

from PySide6.QtCore import QTimer
from PySide6.QtTest import QTest
from PySide6.QtUiTools import QUiLoader
from PySide6.QtWidgets import QApplication

from bench import boxes, ctk_widgets, qt_module, slicer

ROOT = Path(__file__).resolve().parents[2]
HANGS_S = 300  # what takes longer than that will never come, on however busy a machine
MOST_ERRORS = 20  # an observer that fails may do so thousands of times
_bench = None


def start_bench(offscreen: bool = True) -> Bench:
    """The bench of this process; made once."""
    global _bench  # noqa: PLW0603 - there is one QApplication and one slicer
    if _bench is None:
        if offscreen:
            os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        _bench = Bench(offscreen)
    return _bench


class Stalls:
    """Gaps between the turns of the event loop, in milliseconds; `longest` is what a person feels.

    Where other programs want the processor, the window waits for it as well; `busiest` is the most that this thread
    itself has computed between two turns.
    """

    def __init__(self):
        self.gaps: list[float] = []
        self.computed: list[float] = []
        self._last = self._now()

    def turn(self):
        """The event loop has come round."""
        now = self._now()
        for record, before, after in zip((self.gaps, self.computed), self._last, now, strict=True):
            record.append(1000 * (after - before))
        self._last = now

    @property
    def longest(self) -> float:
        """The longest gap."""
        return max(self.gaps, default=0.0)

    @property
    def busiest(self) -> float:
        """The most work in a gap."""
        return max(self.computed, default=0.0)

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.thread_time()


class Bench:
    """Slicer without Slicer.

    Attributes:
        messages: what boxes would have shown.
        answers: what the next boxes are answered with, in order.
        errors: tracebacks of what was raised in slots, which Slicer would only have logged.
        installed: what pip would have been asked for.
    """

    def __init__(self, offscreen: bool):
        self.offscreen, self.errors, self.installed, self.widget = offscreen, [], [], None
        self.folder = tempfile.TemporaryDirectory(prefix="bench ä ")
        self.application = QApplication.instance() or QApplication([])
        self._boxes = boxes.Boxes(modal=not offscreen)
        self.messages, self.answers = self._boxes.messages, self._boxes.answers
        qt_module.install(self.folder.name)
        self._boxes.install()
        ctk_widgets.install()
        self._fill_slicer()
        self._fill_util()
        sys.excepthook = self._slot_raised

    def _fill_slicer(self) -> None:
        from bench import application, dicom_loading, layouts, parameters, qmrml_widgets, scripted

        if not isinstance(getattr(slicer, "mrmlScene", None), slicer.vtkMRMLScene):
            slicer.mrmlScene = slicer.vtkMRMLScene()
        slicer.app = application.Application(self.folder.name)
        slicer.modules = application.Modules(slicer.mrmlScene, slicer.app.applicationLogic())
        slicer.app.setLayoutManager(layouts.LayoutManager(slicer.mrmlScene, slicer.app.applicationLogic()))
        slicer.dicomDatabase = None
        for part in (qmrml_widgets, scripted, parameters, dicom_loading):
            part.install()
        for widget in (*ctk_widgets.WIDGETS, *qmrml_widgets.WIDGETS):
            QUiLoader().registerCustomWidget(widget)  # so that .ui files find them
        _module("slicer.i18n", tr=lambda text, *context: text, translate=lambda context, text: text)

    def _fill_util(self) -> None:
        pip = {
            "pip_install": lambda requirements, **keywords: self.installed.append(requirements),
            "pip_uninstall": lambda requirements, **keywords: None,
        }
        _module("slicer.packaging", **pip)
        util = slicer.util
        util._messageDisplay = self._boxes.slicer_box
        util.messageBox = lambda text, parent=None, **keywords: self._boxes.slicer_box(
            0, text, None, **keywords
        )
        util.delayDisplay = lambda text, *args, **keywords: self._boxes.message("delay", text)
        util.showStatusMessage = lambda text, duration=0: self._boxes.message("status", text)

    def _slot_raised(self, kind, value, trace) -> None:
        if len(self.errors) < MOST_ERRORS:
            self.errors.append("".join(traceback.format_exception(kind, value, trace)))
            sys.__excepthook__(kind, value, trace)

    def load_module(self, name: str, show: bool = False):
        """Load a module of this repository, make its widget, run its setup; returns the Python widget."""
        from bench import scripted

        module = scripted.load(ROOT / name / f"{name}.py")
        self._module = module
        module.widgetRepresentation().resize(480, 900)
        if show:
            module.widgetRepresentation().show()
        return slicer.util.getModuleWidget(name)

    def reload(self):
        """What the button Reload does: clean up, load the files again, set up; returns the new widget."""
        slicer.util.getModuleWidget(self._module.name).onReload()
        return slicer.util.getModuleWidget(self._module.name)

    def enter(self) -> None:
        """The module comes into view."""
        self._module.widgetRepresentation().show()
        self._module.widgetRepresentation().enter()

    def close(self) -> None:
        """Quit: exit, clean up."""
        self._module.widgetRepresentation().exit()
        slicer.app.moduleManager().aboutToBeUnloaded(self._module.name)
        self._module.widgetRepresentation().close()

    def wait(self, condition, timeout_s: float = HANGS_S, what: str = "the condition") -> None:
        """Run the event loop until the condition holds; TimeoutError after that many seconds."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not come about in {timeout_s} s")
            QTest.qWait(5)

    @contextlib.contextmanager
    def stalls(self):
        """Measure how long the event loop stood still: `with bench.stalls() as stalls: …; stalls.longest`."""
        stalls, timer = Stalls(), QTimer()
        timer.timeout.connect(stalls.turn)
        timer.start(5)
        try:
            yield stalls
        finally:
            stalls.turn()
            timer.stop()

    def click(self, widget) -> None:
        """Click as a person would: nothing happens to what is hidden or disabled."""
        if not widget.isVisible() or not widget.isEnabled():
            raise AssertionError(f"{widget.objectName} cannot be clicked: hidden or disabled")
        widget.click()
        self.application.processEvents()

    def grab(self, widget, path) -> None:
        """A picture of a widget as it looks."""
        self.application.processEvents()
        widget.grab().save(str(path))

    def render_layout(self, path, size=(1200, 800)) -> None:
        """A picture of the current layout."""
        from bench import pictures

        pictures.draw_layout(slicer.app.layoutManager(), size).save(str(path))


def _module(name: str, **members) -> None:
    module = ModuleType(name)
    for key, value in members.items():
        setattr(module, key, value)
    sys.modules[name] = module
    setattr(slicer, name.partition(".")[2], module)
