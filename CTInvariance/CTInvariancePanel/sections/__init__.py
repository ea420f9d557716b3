"""The parts of the panel that fold."""

from .data import DataSection
from .explore import ExploreSection
from .log import LogSection
from .results import ResultsSection
from .setup import SetupSection
from .train import TrainSection

__all__ = [
    "DataSection",
    "ExploreSection",
    "LogSection",
    "ResultsSection",
    "SetupSection",
    "TrainSection",
]
