"""Draws the extension's icon: different images on the left that the network turns into one and the same on the right.

    python tools/icon.py [FOLDER]    # writes CTInvariance.svg and .png; also 16 and 32 pixels where FOLDER is given

Needs PySide6.
"""

from __future__ import annotations

import sys
from pathlib import Path

ICONS = Path(__file__).resolve().parents[1] / "Resources" / "Icons"
SIZE = 128
OUTPUT, LUNGS = "#1f4f8f", "#cfe3fb"
IMAGES = (("#f2a03d", 20), ("#2ca58d", 64), ("#c2477f", 108))
"""Colour and height of the images that the network cannot tell apart."""


def svg() -> str:
    """The drawing, on a grid of 128: bodies are ellipses, the output shows its lungs."""
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}">']
    for colour, y in IMAGES:
        parts.append(
            f'<path d="M 24 {y} C 54 {y} 46 64 70 64" fill="none" stroke="{colour}" stroke-width="10"/>'
        )
    for colour, y in IMAGES:
        parts.append(f'<ellipse cx="21" cy="{y}" rx="19" ry="15" fill="{colour}"/>')
    parts.append(f'<ellipse cx="88" cy="64" rx="37" ry="32" fill="{OUTPUT}" stroke="#fff" stroke-width="5"/>')
    for side in (-1, 1):  # lungs: round along the wall, straight along the heart
        lung = f"M {88 + 6 * side} 46 C {88 + 34 * side} 40 {88 + 30 * side} 88 {88 + 6 * side} 76 Z"
        parts.append(f'<path d="{lung}" fill="{LUNGS}" stroke="{LUNGS}" stroke-width="3"/>')
    return "\n".join([*parts, "</svg>", ""])


def render(drawing: str, pixels: int, path: Path) -> None:
    """Write a PNG with transparent ground."""
    from PySide6.QtCore import QByteArray
    from PySide6.QtGui import QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    image = QImage(pixels, pixels, QImage.Format.Format_ARGB32)
    image.fill(0)
    painter = QPainter(image)
    QSvgRenderer(QByteArray(drawing.encode())).render(painter)
    painter.end()
    image.save(str(path))


def main() -> None:
    """Write the files."""
    ICONS.mkdir(parents=True, exist_ok=True)
    drawing = svg()
    (ICONS / "CTInvariance.svg").write_text(drawing, "utf-8")
    render(drawing, SIZE, ICONS / "CTInvariance.png")
    for folder in map(Path, sys.argv[1:]):
        for pixels in (16, 32):
            render(drawing, pixels, folder / f"{pixels}.png")


if __name__ == "__main__":
    main()
