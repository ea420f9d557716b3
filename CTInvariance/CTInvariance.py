"""CTInvariance in 3D Slicer: this file only wires; what is done lies in CTInvariancePanel."""

import ctk
import qt
import slicer
from CTInvariancePanel.samples import SampleNodes, loadSamples
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)


class CTInvariance(ScriptedLoadableModule):
    """The module's entry."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("CT Invariance")
        parent.categories = ["Quantification"]
        parent.contributors = ["The CTInvariance developers"]
        parent.helpText = _(
            "Shows what a CT denoising network ignores: images that its layers cannot tell apart."
        )
        parent.acknowledgementText = _(
            "The method is that of Eulig, Ommer and Kachelrieß, doi:10.1002/mp.17413."
        )


class CTInvarianceWidget(ScriptedLoadableModuleWidget):
    """The panel: loads sampled images that `ctinvariance sample` wrote."""

    def setup(self):
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = CTInvarianceLogic()
        form = qt.QFormLayout()
        self.layout.addLayout(form)
        self.folder = ctk.ctkDirectoryButton()
        self.folder.setToolTip(_("Folder that `ctinvariance sample` wrote"))
        form.addRow(_("Samples:"), self.folder)
        self.load = qt.QPushButton(_("Load samples"))
        self.load.setToolTip(_("Load the samples as a sequence, with their mean and standard deviation"))
        self.load.clicked.connect(self.onLoad)
        form.addRow(self.load)
        self.layout.addStretch(1)

    def onLoad(self, checked=False):
        """Load the chosen folder; say what is wrong where it cannot be."""
        try:
            nodes = self.logic.loadSamples(self.folder.directory)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            slicer.util.errorDisplay(str(error))
            return
        slicer.util.setSliceViewerLayers(background=nodes.sample, fit=True)


class CTInvarianceLogic(ScriptedLoadableModuleLogic):
    """What the panel does, for Python's console."""

    def loadSamples(self, folder) -> SampleNodes:
        """Load a folder that `ctinvariance sample` wrote: `logic.loadSamples("/data/out").mean`."""
        return loadSamples(folder)
