"""What everything that computes with torch may use: devices, processes, batches, units, padding, spectra."""

from .batches import batch_size
from .devices import describe_device, devices_here, pick_device
from .memory import free_memory, require_memory
from .normalization import MEAN, OFFSET_HU, STD, denormalize, normalize
from .padding import mirrored, pad_to, pad_to_multiple, round_up
from .principal import PrincipalComponents, principal_components
from .processes import LONGEST, Processes, processes, together
from .schedule import WARM_UP, rate_factor
from .spectrum import (
    RINGS,
    Spectrum,
    fade,
    filtered,
    half_plane_weights,
    on_plane,
    piece_power,
    power_of,
    ring_counts,
    ring_means,
    smoothed,
)

__all__ = [
    "LONGEST",
    "MEAN",
    "OFFSET_HU",
    "RINGS",
    "STD",
    "WARM_UP",
    "PrincipalComponents",
    "Processes",
    "Spectrum",
    "batch_size",
    "denormalize",
    "describe_device",
    "devices_here",
    "fade",
    "filtered",
    "free_memory",
    "half_plane_weights",
    "mirrored",
    "normalize",
    "on_plane",
    "pad_to",
    "pad_to_multiple",
    "pick_device",
    "piece_power",
    "power_of",
    "principal_components",
    "processes",
    "rate_factor",
    "require_memory",
    "ring_counts",
    "ring_means",
    "round_up",
    "smoothed",
    "together",
]
