"""Work that takes long: in the worker process, or here in steps that leave the window alive."""

from .job import DONE, FAILED, Job, timeLeft
from .process import PATIENCE
from .runner import Jobs
from .scratch import Scratch
from .stepper import Stepper

__all__ = [
    "DONE",
    "FAILED",
    "PATIENCE",
    "Job",
    "Jobs",
    "Scratch",
    "Stepper",
    "timeLeft",
]
