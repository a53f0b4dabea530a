"""Crops of objects with the outlines of two masks: the exact one and another."""

import os
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pycocotools import mask as mask_utils

from ..cli import Skipped, reading
from ..datasets.coco_files import check_file_name, read_coco
from ..datasets.images.files import grey_levels
from ..datasets.images.infrared_io import read_infrared
from ..evaluation.mask_agreement import MaskAgreement, to_rle

_GREEN, _RED = (60, 220, 90), (255, 70, 60)
_CELL, _GAP, _LEFT, _TOP, _DPI = 132, 4, 84, 22, 100  # pixels
_MARGIN = 0.3  # around the box, of its longer side


def draw_mask_crops(
    exact: str | os.PathLike,
    others: Mapping[str, str | os.PathLike],
    agreement: MaskAgreement,
    images: str | os.PathLike,
    out: str | os.PathLike,
    per_class: int = 3,
    image_key: str = 'file_name',
    skipped: Skipped | None = None,
) -> list[int]:
    """Draw crops: a column for each object, a row for the image and one for each file; exact green, other red.

    The objects of a class are spread evenly from a low to a high mean IoU of all files.

    Args:
        exact: COCO file with the exact masks.
        others: COCO files that were compared with it, by name.
        agreement: Result of ``compare_masks`` on them.
        images: Folder of the images.
        out: Where the picture goes; the ending decides its format.
        per_class: How many objects of each class.
        image_key: Field of the images that names the file to load.
        skipped: Gets the images that cannot be read; without it the first of them is an error.

    Returns:
        The annotation ids of the objects shown.
    """
    truth = read_coco(exact, masks=True)
    infos = {image['id']: image for image in truth['images']}
    exact_masks = {a['id']: a for a in truth['annotations']}
    other_masks = {
        name: {a['id']: a for a in read_coco(path, masks=True)['annotations']} for name, path in others.items()
    }
    greys = {}
    for index in _spread(agreement, per_class):
        info = infos[exact_masks[agreement.annotations[index]]['image_id']]
        name = check_file_name(info.get(image_key), f'{exact}, image id {info["id"]}, "{image_key}"')
        with reading(skipped, Path(images) / name):
            greys[index] = grey_levels(read_infrared(Path(images) / name, page=info.get('page')))
    chosen = list(greys)
    if skipped is not None:
        skipped.require_some(chosen)

    width = _LEFT + len(chosen) * (_CELL + _GAP)
    height = _TOP + (1 + len(others)) * (_CELL + _GAP)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor='white')
    FigureCanvasAgg(figure)
    for row, name in enumerate(['image', *others]):
        y = 1 - (_TOP + (row + 0.5) * (_CELL + _GAP)) / height
        figure.text((_LEFT - 8) / width, y, name, ha='right', va='center', fontsize=9)
    for column, index in enumerate(chosen):
        annotation = exact_masks[agreement.annotations[index]]
        grey = greys[index]
        x0, y0, side = _window(annotation['bbox'])
        # Beyond the image's border the crop repeats the border, the masks end.
        rows, columns = np.mgrid[y0 : y0 + side, x0 : x0 + side]
        crop = grey[rows.clip(0, grey.shape[0] - 1), columns.clip(0, grey.shape[1] - 1)].astype(np.float32)
        low, high = np.percentile(crop, (1, 99.5))
        picture = np.clip((crop - low) / max(high - low, 1), 0, 1) * 255
        picture = cv2.resize(
            np.repeat(picture.astype(np.uint8)[..., None], 3, axis=2), (_CELL, _CELL), interpolation=cv2.INTER_NEAREST
        )
        left = (_LEFT + column * (_CELL + _GAP)) / width
        middle = left + _CELL / 2 / width
        figure.text(middle, 1 - _TOP / 2 / height, agreement.labels[index], ha='center', va='center', fontsize=9)
        for row, name in enumerate([None, *others]):
            panel = picture.copy()
            if name is not None:
                for source, color in ((annotation, _GREEN), (other_masks[name][annotation['id']], _RED)):
                    mask = mask_utils.decode(to_rle(source, grey.shape))
                    padded = cv2.copyMakeBorder(mask, side, side, side, side, cv2.BORDER_CONSTANT)
                    part = padded[y0 + side : y0 + 2 * side, x0 + side : x0 + 2 * side]
                    part = cv2.resize(part, (_CELL, _CELL), interpolation=cv2.INTER_NEAREST)
                    contours, _ = cv2.findContours(part, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
                    cv2.drawContours(panel, contours, -1, color, 1)
            bottom = 1 - (_TOP + row * (_CELL + _GAP) + _CELL) / height
            axes = figure.add_axes((left, bottom, _CELL / width, _CELL / height))
            axes.imshow(panel, interpolation='nearest')
            axes.set_axis_off()
            if name is not None:
                axes.text(
                    4,
                    4,
                    f'{agreement.ious[name][index]:.2f}',
                    color='white',
                    fontsize=8,
                    va='top',
                    bbox={'facecolor': 'black', 'alpha': 0.5, 'pad': 1, 'linewidth': 0},
                )
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    return [agreement.annotations[index] for index in chosen]


def _spread(agreement: MaskAgreement, per_class: int) -> list[int]:
    """Indices of objects: of each class, at evenly spaced ranks of the mean IoU over the files."""
    mean = np.mean(list(agreement.ious.values()), axis=0)
    labels = np.array(agreement.labels)
    chosen = []
    for name in dict.fromkeys(agreement.labels):
        ranked = np.flatnonzero(labels == name)
        ranked = ranked[np.argsort(mean[ranked], kind='stable')]
        ranks = (np.arange(per_class) + 0.5) / per_class * len(ranked)
        chosen += dict.fromkeys(ranked[ranks.astype(int)].tolist())
    return chosen


def _window(bbox: list[float]) -> tuple[int, int, int]:
    """Left, top and side of a square of whole pixels around an xywh box."""
    x, y, w, h = bbox
    side = int(np.ceil((1 + 2 * _MARGIN) * max(w, h))) + 4
    return round(x + w / 2 - side / 2), round(y + h / 2 - side / 2), side
