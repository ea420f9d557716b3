"""What the panel is set to; saved with the scene."""

from slicer import vtkMRMLScalarVolumeNode
from slicer.parameterNodeWrapper import parameterNodeWrapper


# No `from __future__ import annotations` here: the wrapper wants types, not their names.
@parameterNodeWrapper
class Parameters:
    """Choices of the section Explore.

    inputVolume and fullDoseVolume: nodes; models: name of a model set; layer: as the library names it; domain: "low"
    or "full"; patchSize: side, pixels.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    fullDoseVolume: vtkMRMLScalarVolumeNode
    models: str
    denoiser: str
    layer: str
    domain: str = "low"
    count: int = 250
    seed: int = 0
    patchSize: int = 128
