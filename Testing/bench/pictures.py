"""Pictures of slice views: rendered by the real slice logic, composed and annotated by Qt's painter."""

from __future__ import annotations

import numpy as np
import slicer
from PySide6.QtCore import QPointF, QRect, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from vtk.util.numpy_support import vtk_to_numpy

NOT_DRAWN = {"vtkMRMLViewNode": "3D", "vtkMRMLPlotViewNode": "Plot", "vtkMRMLTableViewNode": "Table"}
BAR = 22  # height of a view's bar
EDGES = [(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit]


def slice_pixels(logic, width: int, height: int) -> np.ndarray:
    """A slice view as Slicer blends it: uint8 (height, width, 4), the top row first."""
    if logic.GetSliceNode().GetDimensions()[:2] != (width, height):
        logic.ResizeSliceNode(width, height)
    logic.UpdatePipeline()
    port = logic.GetImageDataConnection()
    if port is None:
        return np.zeros((height, width, 4), np.uint8)
    port.GetProducer().Update()
    image = port.GetProducer().GetOutputDataObject(port.GetIndex())
    columns, rows, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)[::-1]
    opaque = np.full((rows, columns, 4), 255, np.uint8)
    opaque[..., :3] = pixels[..., :3].astype(np.float64) * (
        pixels[..., 3:] / 255 if pixels.shape[2] == 4 else 1
    )
    return opaque


def draw_layout(manager, size) -> QImage:
    """The current layout, each view in its place."""
    picture = QImage(*size, QImage.Format_RGB32)
    picture.fill(QColor("#202020"))
    painter = QPainter(picture)
    for element, (x, y, width, height) in manager.places(*size):
        area = QRect(x + 1, y + 1, width - 2, height - 2)
        widget = manager.sliceWidget(element.get("singletontag"))
        if element.get("class") == "vtkMRMLSliceNode" and widget is not None:
            _draw_view(painter, widget.sliceLogic(), area)
        else:
            painter.fillRect(
                area, QColor("#8b8bb0" if element.get("class") == "vtkMRMLViewNode" else "#e8e8e8")
            )
            painter.setPen(Qt.black)
            painter.drawText(area, Qt.AlignCenter, NOT_DRAWN.get(element.get("class"), ""))
    painter.end()
    return picture


def _draw_view(painter, logic, area) -> None:
    node = logic.GetSliceNode()
    inside = area.adjusted(0, BAR, 0, 0)
    pixels = np.ascontiguousarray(slice_pixels(logic, inside.width(), inside.height()))
    image = QImage(pixels.data, pixels.shape[1], pixels.shape[0], 4 * pixels.shape[1], QImage.Format_RGBA8888)
    painter.save()
    painter.setClipRect(area)
    painter.drawImage(inside.topLeft(), image)
    _draw_bar(painter, node, logic.GetSliceOffset(), QRect(area.x(), area.y(), area.width(), BAR))
    composite = logic.GetSliceCompositeNode()
    _draw_names(painter, composite, inside)
    for roi in slicer.util.getNodesByClass("vtkMRMLMarkupsROINode"):
        _draw_roi(painter, roi, node, inside)
    for legend in slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode"):
        _draw_legend(painter, legend, composite, node, inside)
    painter.restore()


def _draw_bar(painter, node, offset: float, area) -> None:
    painter.fillRect(area, QColor.fromRgbF(*node.GetLayoutColor()))
    painter.setPen(Qt.black)
    painter.drawText(area.adjusted(8, 0, -8, 0), Qt.AlignLeft | Qt.AlignVCenter, node.GetLayoutLabel() or "")
    text = f"{node.GetOrientation()}: {offset:.2f} mm"
    painter.drawText(area.adjusted(8, 0, -8, 0), Qt.AlignRight | Qt.AlignVCenter, text)


def _draw_names(painter, composite, area) -> None:
    layers = (("F", composite.GetForegroundVolumeID()), ("B", composite.GetBackgroundVolumeID()))
    nodes = [(layer, slicer.mrmlScene.GetNodeByID(node_id)) for layer, node_id in layers if node_id]
    text = "\n".join(f"{layer}: {node.GetName()}" for layer, node in nodes if node is not None)
    painter.setPen(Qt.white)
    painter.drawText(area.adjusted(6, 6, -6, -6), Qt.AlignLeft | Qt.AlignBottom, text)


def _draw_roi(painter, roi, node, area) -> None:
    display = roi.GetDisplayNode()
    if display is None or not display.GetVisibility() or not display.IsDisplayableInView(node.GetID()):
        return
    points = np.array(box_outline(roi, node))
    if len(points) < 3:
        return
    around = points - points.mean(axis=0)
    points = points[np.argsort(np.arctan2(around[:, 1], around[:, 0]))]
    painter.setPen(QPen(QColor.fromRgbF(*display.GetSelectedColor()), 2))
    painter.setBrush(Qt.NoBrush)
    corner = area.bottomLeft()
    painter.drawPolygon(QPolygonF([QPointF(corner.x() + x, corner.y() - y) for x, y in points]))


def box_outline(roi, node) -> list[tuple[float, float]]:
    """Where the edges of a ROI's box pass through a view's plane, in the view's pixels (y upwards)."""
    half = np.array(roi.GetSize()) / 2
    corners = np.array([[half[a] if i >> a & 1 else -half[a] for a in range(3)] + [1] for i in range(8)])
    to_world = slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix())
    to_view = np.linalg.inv(slicer.util.arrayFromVTKMatrix(node.GetXYToRAS()))
    points = corners @ (to_view @ to_world).T
    crossings = []
    for a, b in EDGES:
        before, after = points[a], points[b]
        if (before[2] <= 0) != (after[2] <= 0):
            point = before + (after - before) * before[2] / (before[2] - after[2])
            crossings.append((point[0], point[1]))
    return crossings


def _draw_legend(painter, legend, composite, node, area) -> None:
    volume = legend.GetDisplayableNode()
    shown = (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID())
    if volume is None or volume.GetID() not in shown or not legend.GetVisibility():
        return
    display = volume.GetDisplayNode()
    colours = legend.GetColorNode() or display.GetColorNode()
    if not legend.IsDisplayableInView(node.GetID()) or colours is None:
        return
    table, values = colours.GetLookupTable(), (display.GetWindowLevelMin(), display.GetWindowLevelMax())
    if legend.GetOrientation() == legend.Horizontal:
        _draw_strip(painter, legend, table, values, _box(legend, area))
    else:
        _draw_column(painter, legend, table, values, area)


def _box(legend, area) -> QRect:
    """Where Slicer puts a horizontal legend: its size is (height, width), its place counts from below."""
    (tall, wide), (right, up) = legend.GetSize(), legend.GetPosition()
    width, height = round(wide * area.width()), round(tall * area.height())
    x = area.x() + right * (area.width() - width)
    y = area.y() + (1 - up) * (area.height() - height)
    return QRect(round(x), round(y), width, height)


def _colour(table, share: float) -> QColor:
    first, last = table.GetRange()
    rgb = [0.0, 0.0, 0.0]  # filled by VTK
    table.GetColor(first + (last - first) * share, rgb)
    return QColor.fromRgbF(*rgb)


def _draw_strip(painter, legend, table, values, box) -> None:
    bar = QRect(box.x() + 20, box.y(), box.width() - 40, box.height() // 3)
    for column in range(bar.width()):
        painter.fillRect(
            bar.x() + column, bar.y(), 1, bar.height(), _colour(table, column / (bar.width() - 1))
        )
    painter.setPen(Qt.white)
    count = legend.GetNumberOfLabels()
    for part in range(count):
        share = part / (count - 1)
        text = legend.GetLabelFormat() % (values[0] + (values[1] - values[0]) * share)
        place = QRect(
            round(bar.x() + share * bar.width()) - 40, bar.bottom(), 80, box.height() - bar.height()
        )
        painter.drawText(place, Qt.AlignCenter, text)


def _draw_column(painter, legend, table, values, area) -> None:
    bar = QRect(area.right() - 74, area.center().y() - area.height() // 4, 14, area.height() // 2)
    for row in range(bar.height()):
        painter.fillRect(
            bar.x(), bar.y() + row, bar.width(), 1, _colour(table, 1 - row / max(bar.height() - 1, 1))
        )
    painter.setPen(Qt.white)
    title = bar.adjusted(-40, -24, 60, -bar.height() - 4)
    painter.drawText(title, Qt.AlignCenter, legend.GetTitleText() or "")
    for part in range(5):
        y = bar.bottom() - part * (bar.height() - 1) / 4
        value = values[0] + (values[1] - values[0]) * part / 4
        painter.drawText(QPointF(bar.right() + 6, y + 4), f"{value:.4g}")
