"""Training: a flat loop for each kind of network, and the run that joins them."""

from .experiment import train

__all__ = ["train"]
