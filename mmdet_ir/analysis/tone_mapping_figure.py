"""One image under several tone mappings, side by side."""

import os
from collections.abc import Mapping
from pathlib import Path

from mmdet_ir.datasets.transforms.tone_mapping import tone_map
from mmdet_ir.fileio import whole_file

import cv2
import numpy as np

_GAP, _TITLE = 6, 24  # pixels


def draw_tone_mappings(
    image: np.ndarray, mappings: Mapping[str, Mapping], path: str | os.PathLike, columns: int = 3
) -> None:
    """Draws an image as each tone mapping shows it, with the name above.

    Args:
        image: ``[H, W]``, uint8, uint16 or float32.
        mappings: Name to the settings of ``tone_map``, with ``method``.
        path: Where the picture goes; the ending decides its format.
        columns: Number of pictures in a row.

    Raises:
        ValueError: If OpenCV cannot write such a file, or a setting is wrong.
    """
    path = Path(path)
    if path.suffix.lower() not in ('.png', '.jpg', '.jpeg'):
        raise ValueError(f'{path}: expected a name that ends in .png or .jpg')
    height, width = image.shape
    rows = -(-len(mappings) // columns)
    size = (rows * (height + _TITLE + _GAP) + _GAP, columns * (width + _GAP) + _GAP)
    sheet = np.full(size, 255, np.uint8)
    for index, (name, settings) in enumerate(mappings.items()):
        top = _GAP + index // columns * (height + _TITLE + _GAP)
        left = _GAP + index % columns * (width + _GAP)
        cv2.putText(sheet, name, (left, top + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 0, 1, cv2.LINE_AA)
        sheet[top + _TITLE : top + _TITLE + height, left : left + width] = tone_map(image, **settings)
    options = [] if path.suffix.lower() == '.png' else [cv2.IMWRITE_JPEG_QUALITY, 85]
    _, content = cv2.imencode(path.suffix, sheet, options)
    with whole_file(path) as file:
        file.write(content)
