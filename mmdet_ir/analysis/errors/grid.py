"""The paper's Fig. 10: a row for each model, a column for each image, with what was missed or mistaken in red."""

import os
from collections.abc import Sequence

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from pycocotools import mask as mask_utils

from ...cli import Skipped
from ...visualization.colors import ERROR, class_colors
from ...visualization.figure_file import save_figure
from ...visualization.grid import draw_grid, enlarge, legend_lines, paint_masks
from .comparison import Comparison, JudgedImage, choose_positions, grid_rows, judge

_DPI = 100
_GAP, _LEFT, _TOP, _LINE = 8, 34, 40, 22  # pixels; a line of the legend
_OUTSET = 3  # pixels between a target and its box, so that a small target stays visible
_MARGIN = 12  # pixels of the image around what a zoomed picture has to show
_FONT, _CHARACTER, _LABEL = 8, 6.6, 16  # points; width of a character and height of a label in pixels
_HALO = [effects.withStroke(linewidth=3, foreground='black', alpha=0.5)]


def draw_comparison(
    comparison: Comparison,
    out: str | os.PathLike,
    num: int = 6,
    choose: str = 'classes',
    indices: Sequence[int] | None = None,
    ids: Sequence[int | str] | None = None,
    mark_errors: bool = False,
    zoom: bool = False,
    panel_width: int | None = None,
    score_thr: float = 0.3,
    iou_thr: float = 0.5,
    skipped: Skipped | None = None,
) -> list[int]:
    """Choose images and draw what the models find in them.

    Args:
        comparison: Images and models (``compare_files`` or ``compare_models``).
        out: Where the picture goes; the ending decides its format.
        num: How many images.
        choose: ``'classes'``: images that between them show all classes; ``'errors'``: where the models differ most.
        indices: Positions of images to draw.
        ids: Ids of images to draw.
        mark_errors: Draw Fig. 10; else a row for each image with input, ground truth and predictions.
        zoom: With ``mark_errors``: cut each image to the part in which any model errs.
        panel_width: Width of each picture in pixels; default is 400 with ``mark_errors``, else 640.
        score_thr: The lowest score in ``comparison``, for the title.
        iou_thr: Mask IoU from which a detection of the right class finds a target.
        skipped: Gets the images that cannot be read; without it the first of them is an error.

    Returns:
        The ids of the images drawn.

    Raises:
        ValueError: If there is no such image, choice or format of pictures.
    """
    if choose not in ('classes', 'errors'):
        raise ValueError(f"choose: expected 'classes' or 'errors', got {choose!r}")
    positions = choose_positions(comparison, num, choose == 'errors', indices, ids, iou_thr, skipped)
    if mark_errors:
        judged = judge(comparison, positions, iou_thr)
        draw_error_grid(comparison, positions, judged, out, zoom, panel_width or 400, score_thr, iou_thr)
    else:
        rows = grid_rows(comparison, positions)
        colors = (255 * class_colors(len(comparison.classes))).tolist()
        draw_grid(rows, out, comparison.classes, colors, score_thr, panel_width or 640, comparison.titles)
    return [comparison.images[position]['id'] for position in positions]


def draw_error_grid(
    comparison: Comparison,
    positions: Sequence[int],
    judged: Sequence[Sequence[JudgedImage]],
    out: str | os.PathLike,
    zoom: bool = False,
    panel_width: int = 400,
    score_thr: float = 0.3,
    iou_thr: float = 0.5,
) -> None:
    """Draw the ground truth and below it each model, with its mistakes in red.

    Args:
        comparison: Images and models.
        positions: Of the images to draw.
        judged: For each model, for each of these images.
        out: Where the picture goes; the ending decides its format.
        zoom: Cut each image to the part in which any model errs.
        panel_width: Width of each picture in pixels.
        score_thr: For the legend.
        iou_thr: For the legend.
    """
    if not positions:
        raise ValueError(f'{out}: expected at least one image to draw, got none')
    images = [comparison.images[position] for position in positions]
    pictures = [comparison.picture(position) for position in positions]
    windows = [
        _window((image['height'], image['width']), [of_model[k] for of_model in judged] if zoom else [])
        for k, image in enumerate(images)
    ]
    cell_h = max(round((bottom - top) * panel_width / (right - left)) for left, top, right, bottom in windows)
    rows = ['ground truth', *comparison.titles]
    width = _LEFT + len(images) * (panel_width + _GAP)
    note = _legend_lines(comparison.classes, width)
    height = _TOP + len(rows) * (cell_h + _GAP) + note * _LINE + _GAP
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor='white')
    FigureCanvasAgg(figure)
    colors = class_colors(len(comparison.classes))
    for row, title in enumerate(rows):
        y = 1 - (_TOP + row * (cell_h + _GAP) + cell_h / 2) / height
        figure.text(_LEFT / 2 / width, y, title, rotation=90, ha='center', va='center', fontsize=11, weight='bold')
    for column, (image, picture, window) in enumerate(zip(images, pictures, windows, strict=True)):
        left, top, right, bottom = window
        panel_h = round((bottom - top) * panel_width / (right - left))
        x = _LEFT + column * (panel_width + _GAP)
        cut = (
            ''
            if window == (0, 0, image['width'], image['height'])
            else f', {right - left}x{bottom - top} pixels of it'
        )
        figure.text(
            (x + panel_width / 2) / width,
            1 - _TOP / 2 / height,
            f'{image["name"]}{cut}',
            ha='center',
            va='center',
            fontsize=9,
        )
        for row in range(len(rows)):
            y = _TOP + row * (cell_h + _GAP) + panel_h
            axes = figure.add_axes((x / width, 1 - y / height, panel_width / width, panel_h / height))
            panel = _Panel(axes, picture, window, (panel_width, panel_h), colors, comparison.classes)
            of_image = judged[max(row - 1, 0)][column]
            panel.truth(of_image) if row == 0 else panel.model(of_image)
    handles = [Patch(color=color, label=name) for name, color in zip(comparison.classes, colors, strict=True)]
    handles += [
        Patch(fill=False, edgecolor=ERROR, linestyle=(0, (3, 1.5)), linewidth=1.8, label='missed'),
        Patch(fill=False, edgecolor=ERROR, linewidth=1.8, label=f'wrong (score ≥ {score_thr:g}, IoU ≥ {iou_thr:g})'),
    ]
    figure.legend(handles=handles, loc='lower center', ncols=-(-len(handles) // note), frameon=False, fontsize=10)
    save_figure(figure, out)


def _legend_lines(classes: Sequence[str], width: int) -> int:
    entries = [*classes, 'missed', 'wrong (score >= 0.3, IoU >= 0.5)']
    return legend_lines(entries, width, fontsize=10)


def _window(size: tuple[int, int], judged: Sequence[JudgedImage]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part to draw, in the image's proportions; all of it without mistakes."""
    height, width = size
    masks = [
        entry['segmentation']
        for image in judged
        for mistake in image.mistakes
        for entry in (mistake.detection, mistake.target)
        if entry is not None
    ]
    if not masks:
        return 0, 0, width, height
    x, y, w, h = mask_utils.toBbox(mask_utils.merge(masks))
    share = max((w + 2 * _MARGIN) / width, (h + 2 * _MARGIN) / height, 0.25)
    if share >= 1:
        return 0, 0, width, height
    cut_w, cut_h = round(share * width), round(share * height)
    left = round(min(max(x + w / 2 - cut_w / 2, 0), width - cut_w))
    top = round(min(max(y + h / 2 - cut_h / 2, 0), height - cut_h))
    return left, top, left + cut_w, top + cut_h


class _Panel:
    """One picture, drawn in pixels of the enlarged window."""

    def __init__(
        self,
        axes: Axes,
        image: np.ndarray,
        window: tuple[int, int, int, int],
        size: tuple[int, int],
        colors: np.ndarray,
        classes: Sequence[str],
    ) -> None:
        self.axes, self.window, self.size, self.colors, self.classes = axes, window, size, colors, classes
        self.labels: list[tuple[float, float, float]] = []  # left, top and width of those that are drawn
        left, top, right, bottom = window
        self.scale = size[0] / (right - left)
        self.canvas = enlarge(image[top:bottom, left:right], size)

    def truth(self, image: JudgedImage) -> None:
        self._masks(image.match.targets)
        for target in image.match.targets:
            self._box(target, self.colors[target['category_id']], linewidth=0.9)

    def model(self, image: JudgedImage) -> None:
        self._masks(image.match.detections)
        wrong = {id(mistake.detection) for mistake in image.mistakes}
        for detection in image.match.detections:
            if id(detection) not in wrong:
                self._box(detection, self.colors[detection['category_id']], linewidth=0.9)
        for mistake in image.mistakes:
            if mistake.detection is None:
                self._box(mistake.target, ERROR, linewidth=1.8, linestyle=(0, (3, 1.5)), path_effects=_HALO)
                continue
            name = self.classes[mistake.detection['category_id']]
            text = {
                'Cls': f'{name}, not {self.classes[mistake.target["category_id"]]}' if mistake.target else name,
                'Loc': f'{name}, IoU {mistake.iou:.2f}',
                'Dupe': f'{name} again',
            }.get(mistake.kind, name)
            self._box(mistake.detection, ERROR, text, linewidth=1.8, path_effects=_HALO)

    def _masks(self, entries: Sequence[dict]) -> None:
        left, top, right, bottom = self.window
        masks = [mask_utils.decode(entry['segmentation'])[top:bottom, left:right] for entry in entries]
        order = np.argsort([-np.count_nonzero(mask) for mask in masks], kind='stable')  # small ones on top
        colors = self.colors[[entries[i]['category_id'] for i in order]]
        paint_masks(self.canvas, np.array([masks[i] for i in order]), colors)
        self.axes.imshow(self.canvas, interpolation='nearest', extent=(0, *self.size, 0))
        self.axes.set_axis_off()
        self.axes.set(xlim=(0, self.size[0]), ylim=(self.size[1], 0))

    def _box(self, entry: dict, color: object, text: str = '', **style: object) -> None:
        x, y, w, h = mask_utils.toBbox(entry['segmentation'])
        x1, y1 = (np.array([x, y]) - self.window[:2]) * self.scale - _OUTSET
        x2, y2 = (np.array([x + w, y + h]) - self.window[:2]) * self.scale + _OUTSET
        if x2 < 0 or y2 < 0 or x1 > self.size[0] or y1 > self.size[1]:
            return
        x1, y1 = np.maximum([x1, y1], 1)
        x2, y2 = np.minimum([x2, y2], np.array(self.size) - 1)
        self.axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, **style))
        if text:
            left, top = self._place(x1, y1, x2, y2, _CHARACTER * len(text) + 4)
            background = {'facecolor': '#c00000', 'alpha': 0.85, 'pad': 1, 'linewidth': 0}
            self.axes.text(left + 2, top + 2, text, color='white', fontsize=_FONT, va='top', bbox=background)

    def _place(self, x1: float, y1: float, x2: float, y2: float, width: float) -> tuple[float, float]:
        """Left and top of a label at a box: above, below, right or left of it, where no other label is."""
        inside = np.clip((x1, x2 - width), 0, self.size[0] - width)
        places = [
            (inside[0], y1 - _LABEL),
            (inside[0], y2 + 2),
            (x2 + 2, y1),
            (x1 - width - 2, y1),
            (inside[1], y1 - _LABEL),
            (inside[1], y2 + 2),
            (inside[0], y1 - 2 * _LABEL),
        ]
        free = [
            (left, top)
            for left, top in places
            if left >= 0
            and top >= 0
            and left + width <= self.size[0]
            and top + _LABEL <= self.size[1]
            and all(
                left + width <= other or other + other_width <= left or abs(top - other_top) >= _LABEL
                for other, other_top, other_width in self.labels
            )
        ]
        left, top = free[0] if free else (inside[0], float(np.clip(y1 - _LABEL, 0, self.size[1] - _LABEL)))
        self.labels.append((left, top, width))
        return left, top
