"""The conditional invertible networks: bijections, condition networks, flows of vectors and of grids."""

from CTInvarianceLib.flow.block_pca import BlockPCA
from CTInvarianceLib.flow.condition import ConditionNetwork
from CTInvarianceLib.flow.conditional_flow import ConditionalFlow
from CTInvarianceLib.flow.convolutional_flow import ConvolutionalFlow
from CTInvarianceLib.flow.grid_regression import GridRegression
from CTInvarianceLib.flow.interface import Flow
from CTInvarianceLib.flow.layer_flow import LayerFlow
from CTInvarianceLib.flow.regression import LatentRegression, Ridge

__all__ = [
    "BlockPCA",
    "ConditionNetwork",
    "ConditionalFlow",
    "ConvolutionalFlow",
    "Flow",
    "GridRegression",
    "LatentRegression",
    "LayerFlow",
    "Ridge",
]
