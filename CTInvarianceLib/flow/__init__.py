"""The conditional invertible networks: bijections, condition networks, flows of vectors and of grids."""

from .block_pca import BlockPCA
from .condition import ConditionNetwork
from .conditional_flow import ConditionalFlow
from .convolutional_flow import ConvolutionalFlow
from .grid_regression import GridRegression
from .image_flow import ImageFlow, Seen
from .interface import Flow
from .layer_flow import LayerFlow
from .likelihood import INITIAL, FlowBatch, descend, make_optimizer
from .missing_power import explained
from .regression import LatentRegression, Ridge
from .stack import FlowStack

__all__ = [
    "INITIAL",
    "BlockPCA",
    "ConditionNetwork",
    "ConditionalFlow",
    "ConvolutionalFlow",
    "Flow",
    "FlowBatch",
    "FlowStack",
    "GridRegression",
    "ImageFlow",
    "LatentRegression",
    "LayerFlow",
    "Ridge",
    "Seen",
    "descend",
    "explained",
    "make_optimizer",
]
