"""Picture grids: one row per image; input, ground truth and the predictions of one or more models side by side."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from mmengine.structures import InstanceData

from .figure_file import save_figure

_DPI = 100
_GAP, _HEADER, _FOOTER = 10, 34, 46  # pixels
_CROWD = 12  # with more targets than this, names would hide them; the legend tells the class
_OUTLINE = [effects.withStroke(linewidth=1.6, foreground='black', alpha=0.6)]


@dataclass
class GridRow:
    """One image with its targets and what each model predicts.

    Attributes:
        image: uint8, shape (H, W) or (H, W, 3) in RGB.
        ground_truth: ``bboxes`` (N, 4) as xyxy in pixels of the image, ``labels`` (N,), ``masks`` (N, H, W) bool.
        predictions: For each model the same, and ``scores`` (N,).
        name: Printed on the input picture.

    Example:
        >>> import numpy as np, torch
        >>> from mmengine.structures import InstanceData
        >>> from mmdet_ir.visualization import GridRow
        >>> nothing = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0), masks=np.zeros((0, 8, 8), bool))
        >>> GridRow(np.zeros((8, 8, 3), np.uint8), nothing, [nothing], name='a').name
        'a'
    """

    image: np.ndarray
    ground_truth: InstanceData
    predictions: Sequence[InstanceData]
    name: str = ''


def draw_grid(
    rows: Sequence[GridRow],
    path: str | os.PathLike,
    classes: Sequence[str],
    palette: Sequence[tuple[int, int, int]],
    score_thr: float = 0.3,
    panel_width: int = 640,
    titles: Sequence[str] = ('prediction',),
) -> None:
    """Draws the rows below each other, with a legend of the class colours, and saves the picture.

    Args:
        rows: What to draw; images may differ in size.
        path: Where the picture goes; the ending decides its format.
        classes: Class names, by label.
        palette: RGB colours in 0..255, by label.
        score_thr: Predictions that score less are not drawn.
        panel_width: Width of each picture, in pixels; images are enlarged or reduced to it.
        titles: Of the models; the smallest score that is drawn is added to the first.
    """
    if not rows:
        raise ValueError(f'{path}: expected at least one image to draw, got none')
    if wrong := {len(row.predictions) for row in rows} - {len(titles)}:
        raise ValueError(f'{path}: expected predictions of {len(titles)} models for each image, got {wrong}')
    colors = np.asarray(palette, dtype=float) / 255
    heights = [round(row.image.shape[0] * panel_width / row.image.shape[1]) for row in rows]
    columns = ['input', 'ground truth', f'{titles[0]} (score ≥ {score_thr:g})', *titles[1:]]
    width = len(columns) * (panel_width + _GAP) + _GAP
    lines = legend_lines(classes, width, fontsize=12)
    height = _HEADER + sum(heights) + _GAP * len(rows) + _FOOTER * lines
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor='white')
    FigureCanvasAgg(figure)

    for column, title in enumerate(columns):
        x = _GAP + column * (panel_width + _GAP) + panel_width / 2
        figure.text(x / width, 1 - _HEADER / 2 / height, title, ha='center', va='center', fontsize=12, weight='bold')

    top = _HEADER
    for row, cell_h in zip(rows, heights, strict=True):
        kept = [prediction[prediction.scores >= score_thr] for prediction in row.predictions]
        for column, instances in enumerate((None, row.ground_truth, *kept)):
            x = _GAP + column * (panel_width + _GAP)
            axes = figure.add_axes((x / width, 1 - (top + cell_h) / height, panel_width / width, cell_h / height))
            draw_panel(axes, row.image, instances, classes, colors, (panel_width, cell_h))
            if column == 0 and row.name:
                axes.text(6, cell_h - 8, row.name, color='white', fontsize=8, path_effects=_OUTLINE)
        top += cell_h + _GAP

    handles = [Patch(color=color, label=name) for name, color in zip(classes, colors, strict=True)]
    figure.legend(handles=handles, loc='lower center', ncols=-(-len(classes) // lines), frameon=False, fontsize=12)
    save_figure(figure, path)


def legend_lines(entries: Sequence[str], width: int, fontsize: float) -> int:
    """How many lines a legend needs.

    Args:
        entries: Texts of the legend, each of which gets the width of the longest.
        width: Of the picture, pixels at 100 dots an inch.
        fontsize: In points.
    """
    column = (0.9 * max(map(len, entries)) + 5) * fontsize
    return max(1, math.ceil(len(entries) / max(1, int(width / column))))


def draw_panel(
    axes: Axes,
    image: np.ndarray,
    instances: InstanceData | None,
    classes: Sequence[str],
    colors: np.ndarray,
    size: tuple[int, int],
) -> None:
    """One picture, drawn in pixels of the enlarged image; ``size`` is its width and height."""
    scale = size[0] / image.shape[1]
    canvas = enlarge(image, size)
    if instances is not None:
        order = np.argsort([-np.count_nonzero(mask) for mask in instances.masks], kind='stable')  # small ones on top
        paint_masks(canvas, instances.masks[order], colors[instances.labels[order]])
        for i in order:
            color = colors[instances.labels[i]]
            x1, y1, x2, y2 = instances.bboxes[i] * scale
            axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=0.9))
            parts = [classes[instances.labels[i]]] if len(order) <= _CROWD else []
            if 'scores' in instances:
                parts.append(f'{instances.scores[i]:.2f}')
            text = ' '.join(parts)
            inside = y1 < 16  # no room above
            axes.text(
                min(x1, size[0] - 7.5 * len(text)),
                y1 + 2 if inside else y1 - 2,
                text,
                color=0.5 + 0.5 * color,
                fontsize=9,
                va='top' if inside else 'bottom',
                path_effects=_OUTLINE,
            )
    axes.imshow(canvas, interpolation='nearest', extent=(0, *size, 0))  # pixel i covers i to i + 1
    axes.set_axis_off()
    axes.set(xlim=(0, axes.bbox.width), ylim=(axes.bbox.height, 0), anchor='NW')


def enlarge(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (H, W) or (H, W, 3), uint8, as RGB of another ``size`` (width, height)."""
    smaller = size[0] < image.shape[1]
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return cv2.cvtColor(canvas, cv2.COLOR_GRAY2RGB) if canvas.ndim == 2 else canvas


def paint_masks(canvas: np.ndarray, masks: np.ndarray, colors: np.ndarray) -> None:
    """Paint masks over an enlarged picture, later ones on top.

    Args:
        canvas: uint8, shape (H', W', 3), RGB; changed in place.
        masks: bool, shape (N, H, W), in pixels of the image.
        colors: Shape (N, 3), in 0..1.
    """
    size = canvas.shape[1::-1]
    for mask, color in zip(masks, 255 * colors, strict=True):
        enlarged = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.5
        canvas[enlarged] = 0.6 * canvas[enlarged] + 0.4 * color
        contours, _ = cv2.findContours(enlarged.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, color.tolist(), 1, cv2.LINE_AA)
