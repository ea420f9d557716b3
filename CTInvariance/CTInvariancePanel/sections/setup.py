"""Section Setup: what is installed, what is missing, what is computed on; folded away when all is well."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from ..setup import device, install
from ..words import plain
from .section import Section

_KINDS = {
    device.AUTO: _("automatic: a GPU where there is one"),
    "cuda": _("GPU (CUDA)"),
    "mps": _("GPU (Apple)"),
    "cpu": _("processor"),
}


class SetupSection(Section):
    """One button installs what is missing, after asking."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel, "Setup", _("Setup"), _("Packages and device that the networks need"))

    def setup(self) -> None:
        """Connect the widgets; look at what is installed, without importing any of it."""
        self.onClick(self.ui.installButton, self.install)
        self.onClick(self.ui.checkButton, self.check)
        self._listDevices([])
        self.ui.deviceBox.currentIndexChanged.connect(lambda index: self._choose())
        self.refresh()
        self.button.collapsed = self.complete

    def enter(self) -> None:
        """Go on with an installation that needed a restart."""
        pending = install.resumePending(slicer.app.settings())
        install.clearResume(slicer.app.settings())  # before: what is installed now may need a restart again
        if pending and not self.complete:
            self.attempt(self.install)
        elif self.complete and not self.ui.deviceLabel.text:
            self.attempt(self._askDevice)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return all(requirement.ok for requirement in self.requirements)

    def refresh(self) -> None:
        """Show what is installed and what is missing."""
        self.requirements = install.check()
        rows = [
            f"<li>{'✓' if each.ok else '✗'} <b>{plain(each.name)}</b> "
            f"{plain(each.found or _('missing'))} – {plain(each.why)}</li>"
            for each in self.requirements
        ]
        head = _("Everything is installed.") if self.complete else _("The networks need more packages:")
        self.ui.requirementsLabel.setText(
            f"{head}<ul style='margin:0; margin-left:-28px; list-style:none'>{''.join(rows)}</ul>"
        )
        self.ui.installButton.setVisible(not self.complete)
        for each in (self.ui.deviceLabel, self.ui.computeLabel, self.ui.deviceBox):
            each.setVisible(self.complete)

    def check(self) -> None:
        """Look again, and ask the worker what it computes on."""
        self.refresh()
        if self.complete:
            self._askDevice()

    def _askDevice(self) -> None:
        self.ui.deviceLabel.setText(_("Asking the worker…"))
        self.logic.device(wait=False).whenChanged(self._onDevice)

    def install(self) -> None:
        """Install what is missing, after asking."""
        install.install(
            slicer.util.confirmOkCancelDisplay,
            self.logic.log,
            self._onInstalled,
        )

    def _onInstalled(self, message: str) -> None:
        self.panel.say(message, stays=True)  # perhaps that Slicer must be restarted
        self.refresh()
        self.button.collapsed = self.complete
        self.panel.explore.refreshModels()
        self.panel.train.refresh()

    def _listDevices(self, found: list[str]) -> None:
        """Offer the devices that there are, and the one that is chosen."""
        box, chosen = self.ui.deviceBox, device.device()
        box.blockSignals(True)
        box.clear()
        for name in dict.fromkeys([device.AUTO, *found, chosen]):
            box.addItem(_KINDS.get(name, name), name)
        box.setCurrentIndex(box.findData(chosen))
        box.blockSignals(False)

    def _choose(self) -> None:
        """People want another device."""
        self.logic.setDevice(self.ui.deviceBox.itemData(self.ui.deviceBox.currentIndex))
        self.check()
        self.panel.train.refresh()

    def _onDevice(self, job: Any) -> None:
        if job.error is not None:
            self.ui.deviceLabel.setText(str(job.error))
        elif job.result is not None:
            self.ui.deviceLabel.setText(_deviceText(job.result))
            self._listDevices(job.result["devices"])


def _deviceText(found: dict[str, Any]) -> str:
    memory = _(", {:.1f} GB of memory").format(found["memory_gb"]) if found.get("memory_gb") else ""
    return _("Computes on: {}, {}{}; torch {}.").format(
        _KINDS.get(found["device"], found["device"]), found["name"], memory, found["torch"]
    )
