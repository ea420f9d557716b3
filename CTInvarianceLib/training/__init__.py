"""Training: a flat loop for each kind of network, and the run that joins them."""

from .cost import Cost, cost_of
from .critic import Critic, PatchCritic
from .embedding import train_embedding
from .experiment import train
from .flow import make_conditions, make_pool, train_flow
from .image_flow import PatchPool, fit_image_flow, see_layer
from .losses import critic_loss
from .plan import flow_stage, plan_work
from .run import Run, make_fabric

__all__ = [
    "Cost",
    "Critic",
    "PatchCritic",
    "PatchPool",
    "Run",
    "cost_of",
    "critic_loss",
    "fit_image_flow",
    "flow_stage",
    "make_conditions",
    "make_fabric",
    "make_pool",
    "plan_work",
    "see_layer",
    "train",
    "train_embedding",
    "train_flow",
]
