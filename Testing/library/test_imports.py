"""What an import may bring in: nobody waits for torch who has nothing to compute."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "monai", "lightning_fabric", "SimpleITK", "pydicom", "matplotlib", "rich")


@pytest.mark.parametrize(
    "statement",
    [
        "import CTInvarianceLib",
        "import CTInvarianceLib as cti; cti.CTVolume, cti.read_volume, cti.find_pairs",
        "import CTInvarianceLib.app.cli as cli; cli._parser()",
        "import CTInvarianceLib.base, CTInvarianceLib.config, CTInvarianceLib.volumes",
        "import CTInvarianceLib.worker, CTInvarianceLib.worker.requests, CTInvarianceLib.phantoms",
        "import CTInvarianceLib.sources, CTInvarianceLib.files, CTInvarianceLib.dicom",
    ],
)
def test_nothing_heavy_is_imported(statement):
    check = f"{statement}; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_public_name_is_there():
    import CTInvarianceLib as cti

    for name in cti.__all__:
        assert getattr(cti, name) is not None, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        cti.nothing  # noqa: B018
