"""CTInvariance in 3D Slicer: this file only wires; what is done lies in CTInvariancePanel and CTInvarianceLib."""

import sys
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

_HERE = Path(__file__).resolve().parent
# Installed, the library and the resources lie beside this file; in the source tree one folder up.
_ROOT = _HERE if (_HERE / "CTInvarianceLib").is_dir() else _HERE.parent
sys.path.extend(str(path) for path in (_HERE, _ROOT) if str(path) not in sys.path)

from CTInvariancePanel.logic import Logic  # noqa: E402 - the path comes first
from CTInvariancePanel.panel import Panel  # noqa: E402
from CTInvariancePanel.parameters import Parameters  # noqa: E402


class CTInvariance(ScriptedLoadableModule):
    """The module's entry."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("CT Invariance")
        parent.categories = ["Quantification"]
        parent.dependencies = ["DICOM"]
        parent.icon = qt.QIcon(str(_ROOT / "Resources" / "Icons" / "CTInvariance.png"))
        parent.contributors = ["The CTInvariance developers"]
        parent.helpText = _(
            "Shows what a CT denoising network ignores: images that its layers cannot tell apart."
        )
        parent.acknowledgementText = _(
            "The method is that of Eulig, Ommer and Kachelrieß, doi:10.1002/mp.17413."
        )


class CTInvarianceWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def setup(self):
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = CTInvarianceLogic()
        self.panel = Panel(self.layout, self.logic, self.logic.getParameterNode(), _ROOT / "Resources")
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEnd)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEnd)

    def enter(self):
        """The module has come into view."""
        self.panel.enter()

    def cleanup(self):
        """The module goes away: reloaded, or Slicer ends."""
        self.removeObservers()
        self.panel.cleanup()
        self.logic.close()

    def onSceneStartClose(self, caller, event):
        """Whatever works with the nodes of the scene has to stop."""
        self.logic.cancelAll()

    def onSceneEnd(self, caller, event):
        """Another scene: other settings, other results."""
        self.panel.setParameters(self.logic.getParameterNode())

    def onReload(self):
        """Reload the sub-packages too; Slicer keeps them in memory."""
        for name in [
            each for each in sys.modules if each.split(".")[0] in ("CTInvariancePanel", "CTInvarianceLib")
        ]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class CTInvarianceLogic(Logic, ScriptedLoadableModuleLogic):
    """What the panel does, for Python's console: `logic = slicer.util.getModuleLogic("CTInvariance")`."""

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        Logic.__init__(self, _ROOT, _ROOT / "Resources")

    def getParameterNode(self):
        """What the panel is set to, typed; saved with the scene."""
        return Parameters(ScriptedLoadableModuleLogic.getParameterNode(self))
