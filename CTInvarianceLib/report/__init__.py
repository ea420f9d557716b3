"""What people look at: tables, pictures, files."""

from .evaluation import TRUSTED_PATCHES, evaluate, rmse_hu, shrink_and_enlarge
from .fidelity import at_half_nyquist, edge_transfer, spectrum_kept, tissue_rmse
from .montage import draw_montage
from .page import require_report_place, write_report
from .sample_files import require_sample_folder, summary, table, write_samples

__all__ = [
    "TRUSTED_PATCHES",
    "at_half_nyquist",
    "draw_montage",
    "edge_transfer",
    "evaluate",
    "require_report_place",
    "require_sample_folder",
    "rmse_hu",
    "shrink_and_enlarge",
    "spectrum_kept",
    "summary",
    "table",
    "tissue_rmse",
    "write_report",
    "write_samples",
]
