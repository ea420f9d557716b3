"""The conditional invertible network: bijections, condition network, ConditionalFlow."""

from CTInvarianceLib.flow.block_pca import BlockPCA
from CTInvarianceLib.flow.condition import ConditionNetwork
from CTInvarianceLib.flow.conditional_flow import ConditionalFlow
from CTInvarianceLib.flow.layer_flow import LayerFlow

__all__ = ["BlockPCA", "ConditionNetwork", "ConditionalFlow", "LayerFlow"]
