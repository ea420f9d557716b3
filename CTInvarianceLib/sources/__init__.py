"""What a source holds: files, series, pairs of low and full dose, and how patients are split."""

from .dose_words import dose_of
from .identity import Labels
from .index import HeaderIndex
from .overlap import SAME_PLACE_MM, corner_distance
from .pairs import SeriesPair, not_to_simulate, pair_series, read_pair
from .partition import Split, anatomies, split_patients
from .scanning import Scan, find_pairs, require_pairs, scan
from .series import CTSeries, anatomy_of, is_projections

__all__ = [
    "SAME_PLACE_MM",
    "CTSeries",
    "HeaderIndex",
    "Labels",
    "Scan",
    "SeriesPair",
    "Split",
    "anatomies",
    "anatomy_of",
    "corner_distance",
    "dose_of",
    "find_pairs",
    "is_projections",
    "not_to_simulate",
    "pair_series",
    "read_pair",
    "require_pairs",
    "scan",
    "split_patients",
]
