"""What the panel is set to; saved with the scene."""

from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import parameterNodeWrapper

from CTInvarianceLib.config import DEFAULT_TOLERANCE


# No `from __future__ import annotations` here: the wrapper wants types, not their names.
@parameterNodeWrapper
class Parameters:
    """Choices of the section Explore.

    inputVolume and fullDoseVolume: nodes; models: name of a model set; layer: as the library names it; domain: "low"
    or "full"; tolerance: rescans; flow: whether the trained flow draws; patchSize: side, pixels.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    fullDoseVolume: vtkMRMLScalarVolumeNode
    models: str
    denoiser: str
    layer: str
    domain: str = "low"
    tolerance: float = DEFAULT_TOLERANCE
    flow: bool = True
    count: int = 250
    seed: int = 0
    patchSize: int = 128
