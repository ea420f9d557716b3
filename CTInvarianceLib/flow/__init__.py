"""The conditional invertible network: bijections, condition network, ConditionalFlow."""

from CTInvarianceLib.flow.block_pca import BLOCK, BlockPCA
from CTInvarianceLib.flow.condition import ConditionNetwork
from CTInvarianceLib.flow.conditional_flow import ConditionalFlow
from CTInvarianceLib.flow.layer_flow import LayerFlow
from CTInvarianceLib.flow.regression import LatentRegression, Ridge

__all__ = [
    "BLOCK",
    "BlockPCA",
    "ConditionNetwork",
    "ConditionalFlow",
    "LatentRegression",
    "LayerFlow",
    "Ridge",
]
