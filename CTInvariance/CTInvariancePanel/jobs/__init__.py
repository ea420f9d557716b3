"""Work that takes long: in the worker, in a process of its own, or here in steps that leave the window alive."""

from .job import CANCELLED, DONE, FAILED, Job, timeLeft
from .metrics import MetricsLog
from .runner import Jobs
from .scratch import Scratch
from .stepper import Stepper
from .training import Training

__all__ = [
    "CANCELLED",
    "DONE",
    "FAILED",
    "Job",
    "Jobs",
    "MetricsLog",
    "Scratch",
    "Stepper",
    "Training",
    "timeLeft",
]
