"""Picture grids: one row per image; input, ground truth and the predictions of one or more models side by side."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib.patheffects as effects
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from mmdet.apis import init_detector
from mmdet.registry import DATASETS
from mmdet.structures.mask import mask2bbox
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils
from tqdm import tqdm

from .figure_file import save_figure
from .picture import as_picture

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
    height = _HEADER + sum(heights) + _GAP * len(rows) + _FOOTER
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
            _draw_panel(axes, row.image, instances, classes, colors, (panel_width, cell_h))
            if column == 0 and row.name:
                axes.text(6, cell_h - 8, row.name, color='white', fontsize=8, path_effects=_OUTLINE)
        top += cell_h + _GAP

    handles = [Patch(color=color, label=name) for name, color in zip(classes, colors, strict=True)]
    figure.legend(handles=handles, loc='lower center', ncols=len(classes), frameon=False, fontsize=12)
    save_figure(figure, path)


def _draw_panel(
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


def select_images(dataset: BaseDataset, num: int) -> list[int]:
    """Indices of images that between them show every class often, the same ones each time.

    Greedy: the next image is the one with most classes that were shown seldom so far.

    Args:
        dataset: A fully initialised detection data set.
        num: How many images; fewer if the data set is smaller.
    """
    labels = [
        {instance['bbox_label'] for instance in dataset.get_data_info(i)['instances'] if not instance['ignore_flag']}
        for i in range(len(dataset))
    ]
    return select_by_labels(labels, num)


def select_by_labels(labels: Sequence[set[int]], num: int) -> list[int]:
    """As ``select_images``, from the labels that each image shows."""
    candidates = np.random.default_rng(0).permutation(len(labels)).tolist()  # neighbours in a clip look alike
    shown = dict.fromkeys(set().union(*labels), 0)
    chosen = []
    for _ in range(min(num, len(candidates))):
        best = max(candidates, key=lambda i: sum((1 + shown[label]) ** -2 for label in labels[i]))
        candidates.remove(best)
        chosen.append(best)
        for label in labels[best]:
            shown[label] += 1
    return sorted(chosen)


def ground_truth_of(dataset: BaseDataset, index: int) -> InstanceData:
    """Targets of one image from its annotation, in pixels of the original image; crowds are left out."""
    info = dataset.get_data_info(index)
    instances = [instance for instance in info['instances'] if not instance['ignore_flag']]
    height, width = info['height'], info['width']
    masks = [_decode(instance['mask'], height, width) for instance in instances if 'mask' in instance]
    if len(masks) != len(instances):
        raise ValueError(
            f'{info["img_path"]}: expected a segmentation for each target, got {len(masks)} for {len(instances)}'
        )
    return InstanceData(
        bboxes=np.array([instance['bbox'] for instance in instances], dtype=np.float32).reshape(-1, 4),
        labels=np.array([instance['bbox_label'] for instance in instances], dtype=np.int64),
        masks=np.array(masks, dtype=bool).reshape(-1, height, width),
    )


def _decode(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """Mask of COCO polygons or of a run-length encoding, compressed or not."""
    if isinstance(segmentation, list):
        rle = mask_utils.merge(mask_utils.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation['counts'], list):
        rle = mask_utils.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
    return np.asarray(mask_utils.decode(rle), dtype=bool)


def _add_boxes(prediction: InstanceData) -> InstanceData:
    """Puts boxes around the masks where a model predicts none (SOLOv2 leaves them all at zero)."""
    without = ~prediction.bboxes.any(dim=1)
    prediction.bboxes[without] = mask2bbox(prediction.masks[without]).to(prediction.bboxes)
    return prediction


def predict(
    config: Config, checkpoint: str | os.PathLike, dataset: BaseDataset, indices: Sequence[int], device: str
) -> Iterator[tuple[InstanceData, np.ndarray]]:
    """Predictions of a trained model for images of a data set, in numpy, and the images as it saw them."""
    model = init_detector(config, str(checkpoint), device=device)
    for index in tqdm(indices, desc=Path(config.filename).stem):
        data = dataset[index]
        with torch.no_grad():
            prediction = model.test_step(pseudo_collate([data]))[0].pred_instances.cpu()
        if 'masks' not in prediction:
            raise ValueError(f'{config.filename}: expected a model that predicts masks, got boxes only')
        yield _add_boxes(prediction).numpy(), as_picture(data['inputs'], data['data_samples'].metainfo)


def open_models(
    models: Sequence[tuple[str | os.PathLike, str | os.PathLike]],
    titles: Sequence[str] | None,
    cfg_options: dict | None,
) -> tuple[list[str], list[Config], list[BaseDataset]]:
    """Titles, configs and test sets of models.

    Args:
        models: Config and weights of each.
        titles: ``None`` for ``prediction`` where there is one model, else for the names of the configs.
        cfg_options: Settings that replace the configs'.

    Raises:
        ValueError: If the test sets do not hold the same images, or the number of titles is not that of the models.
    """
    if titles is None:
        titles = [Path(name).stem for name, _ in models] if len(models) > 1 else ['prediction']
    if len(titles) != len(models):
        raise ValueError(f'titles: expected {len(models)}, one for each model, got {len(titles)}')
    configs = [Config.fromfile(name) for name, _ in models]
    for loaded in configs:
        loaded.merge_from_dict(cfg_options or {})
    init_default_scope(configs[0].get('default_scope', 'mmdet'))
    datasets = [DATASETS.build(loaded.test_dataloader.dataset) for loaded in configs]
    first, *others = [[data.get_data_info(i)['img_path'] for i in range(len(data))] for data in datasets]
    for loaded, paths in zip(configs[1:], others, strict=True):
        if paths != first:
            raise ValueError(f'{loaded.filename}: expected the test images of {configs[0].filename}, got others')
    return list(titles), configs, datasets


def draw_predictions(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    out: str | os.PathLike,
    num: int = 6,
    score_thr: float = 0.3,
    indices: Sequence[int] | None = None,
    device: str | None = None,
    cfg_options: dict | None = None,
    others: Sequence[tuple[str | os.PathLike, str | os.PathLike]] = (),
    titles: Sequence[str] | None = None,
    panel_width: int = 640,
) -> list[int]:
    """Runs one or more trained models on images of the first one's test set and draws the grid.

    Args:
        config: Config file.
        checkpoint: Trained weights.
        out: Where the picture goes.
        num: How many images, chosen by ``select_images``.
        score_thr: Predictions that score less are not drawn.
        indices: Indices into the test set, instead of ``num``.
        device: Defaults to the GPU if there is one.
        cfg_options: Settings that replace the configs'.
        others: Configs and weights of further models, tested on the same images.
        titles: Of all models; default is ``prediction`` for one model, else the names of the configs.
        panel_width: Width of each picture in pixels.

    Returns:
        The indices of the drawn images.

    Raises:
        ValueError: If an index is not in the test set, a model predicts no masks, the test sets of the models do not
            hold the same images, or the number of titles is not that of the models.
    """
    models = [(config, checkpoint), *others]
    titles, configs, datasets = open_models(models, titles, cfg_options)
    device = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    dataset = datasets[0]
    indices = select_images(dataset, num) if indices is None else list(indices)
    if wrong := [i for i in indices if not 0 <= i < len(dataset)]:
        raise ValueError(f'indices: expected numbers in 0..{len(dataset) - 1}, got {wrong}')
    results = [
        zip(*predict(loaded, weights, own, indices, device), strict=True)
        for loaded, (_, weights), own in zip(configs, models, datasets, strict=True)
    ]
    predictions, (images, *_) = zip(*results, strict=True)  # images as the first model saw them
    names = [Path(dataset.get_data_info(i)['img_path']).name for i in indices]
    rows = [
        GridRow(image, ground_truth_of(dataset, index), predicted, name)
        for image, index, name, predicted in zip(images, indices, names, zip(*predictions, strict=True), strict=True)
    ]
    meta = dataset.metainfo
    draw_grid(rows, out, meta['classes'], meta['palette'], score_thr, panel_width, titles)
    return indices
