"""What everything that computes with torch may use: devices, batches, units, padding, principal components."""

from .batches import batch_size
from .devices import describe_device, pick_device
from .normalization import MEAN, OFFSET_HU, STD, denormalize, normalize
from .padding import pad_to, pad_to_multiple, round_up
from .principal import PrincipalComponents, principal_components
from .schedule import rate_factor

__all__ = [
    "MEAN",
    "OFFSET_HU",
    "STD",
    "PrincipalComponents",
    "batch_size",
    "denormalize",
    "describe_device",
    "normalize",
    "pad_to",
    "pad_to_multiple",
    "pick_device",
    "principal_components",
    "rate_factor",
    "round_up",
]
