"""Training: a flat loop for each kind of network, and the run that joins them."""

from .cost import Cost, cost_of
from .critic import Critic, PatchCritic
from .embedding import train_embedding
from .experiment import train
from .flow import initialise, max_norm, train_flows
from .image_flow import ImageSource, PatchPool, draw_pool, fit_image_flow, see_layer
from .latent_flow import LatentSource
from .losses import critic_loss
from .plan import flow_stages, plan_work
from .run import Run, make_fabric
from .watch import LOOK_EVERY, Watch

__all__ = [
    "LOOK_EVERY",
    "Cost",
    "Critic",
    "ImageSource",
    "LatentSource",
    "PatchCritic",
    "PatchPool",
    "Run",
    "Watch",
    "cost_of",
    "critic_loss",
    "draw_pool",
    "fit_image_flow",
    "flow_stages",
    "initialise",
    "make_fabric",
    "max_norm",
    "plan_work",
    "see_layer",
    "train",
    "train_embedding",
    "train_flows",
]
