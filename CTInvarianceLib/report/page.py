"""Tables of an evaluation as JSON for machines and as one HTML page for people."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from .. import __version__
from ..base import decimal, json_text, printable, require_replaceable, writing_folder

_EXPLAINED = {
    "denoising": (
        "Denoised against the full dose, on patches of unseen patients. RMSE in HU; PSNR (dB) and SSIM (Gaussian "
        "weights of 11×11 pixels, σ = 1.5) of images that are cut to the CT window beside them (centre and width, "
        "HU) and scaled to 0–1: figures of another window are not comparable."
    ),
    "embedding": "What the embedding loses: RMSE (HU) of D(E(image)), beside the image shrunk to as many numbers.",
    "layers": (
        "What samples within the tolerance (in rescans) differ by, how much of that arrives in the denoised image, and "
        "V (visibility): what the layer lets through of their differences, over what it lets through of noise. Near 1 "
        "the layer hides no more than noise. Proposed misfit: how far the flow's proposals lay from z, in tolerances; "
        "moved: what bringing them within it took, in HU. The control, samples proposed for another patch (shuffled), "
        "has to be moved several times as far. Coverage 90: the share of pixels in which 90 % intervals of the samples "
        "hold the true full dose. Consistency is R of older versions."
    ),
}
_FILES = ("report.json", "report.html")
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:.5em 0 2em}th,td{padding:.25em .8em;border-bottom:1px solid #ddd;"
    "text-align:right}th{border-bottom:2px solid #888}td:first-child,th:first-child{text-align:left}"
    "p{color:#555}"
)


def require_report_place(folder: Path, *, overwrite: bool) -> None:
    """Raise where `write_report` cannot write, or there is a report that may not be replaced: before the work.

    Raises:
        VolumeError: see `base.require_replaceable`.
    """
    require_replaceable(folder, frozenset(_FILES), overwrite=overwrite)


def write_report(
    tables: dict[str, list[dict[str, Any]]], folder: Path, *, overwrite: bool = True, **origin: str
) -> None:
    """Write `report.json` and `report.html`: both of them or none.

    Args:
        tables: what `evaluate` has measured.
        folder: made if need be; an older report in it is replaced as a whole.
        overwrite: whether it may be.
        origin: what else the report is to say of where the tables come from.

    Raises:
        VolumeError: see `require_report_place`.
        OSError: the disk is full.
    """
    require_report_place(folder, overwrite=overwrite)
    content = {"program": f"CTInvariance {__version__}", **origin, "tables": tables}
    with writing_folder(folder) as part:
        for name, text in zip(_FILES, (json_text(content, indent=1), _page(tables, origin)), strict=True):
            (part / name).write_text(text, "utf-8", errors="backslashreplace")
        require_report_place(folder, overwrite=overwrite)  # somebody else may have written one meanwhile


def _page(tables: dict[str, list[dict[str, Any]]], origin: dict[str, str]) -> str:
    facts = " · ".join(f"{_shown(k)}: {_shown(v)}" for k, v in origin.items())
    sections = "".join(
        f"<h2>{_shown(name.capitalize())}</h2><p>{_EXPLAINED.get(name, '')}</p>{_table(rows)}"
        for name, rows in tables.items()
        if rows  # a model set without flows has no layers to tell of
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>CTInvariance report</title>'
        f"<style>{_STYLE}</style><h1>CTInvariance report</h1><p>{facts}</p>{sections}"
        f"<p>CTInvariance {__version__}</p></html>"
    )


def _table(rows: list[dict[str, Any]]) -> str:
    head = "".join(f"<th>{_shown(name.replace('_', ' '))}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row.values()) + "</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return html.escape(decimal(value)) if isinstance(value, float) else _shown(value)


def _shown(text: object) -> str:
    """Text from files: never markup, and nothing that UTF-8 cannot hold."""
    return html.escape(printable(text))
