"""Masks of a mosaic lie in their boxes, whatever the shape of its tiles."""

import mmdet_ir  # noqa: F401

import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks

LEFT, TOP, RIGHT, BOTTOM = 30, 40, 90, 70  # of the target in each image


def picture(polygons: bool, channels: int) -> dict:
    """A target of 200 on 10."""
    image = np.full((128, 160) if channels == 1 else (128, 160, 3), 10, np.uint8)
    image[TOP:BOTTOM, LEFT:RIGHT] = 200
    mask = np.zeros((1, 128, 160), np.uint8)
    mask[0, TOP:BOTTOM, LEFT:RIGHT] = 1
    corners = np.array([LEFT, TOP, RIGHT, TOP, RIGHT, BOTTOM, LEFT, BOTTOM], float)
    return {
        'img': image,
        'img_shape': (128, 160),
        'gt_bboxes': HorizontalBoxes(np.array([[LEFT, TOP, RIGHT, BOTTOM]], np.float32)),
        'gt_bboxes_labels': np.array([0]),
        'gt_ignore_flags': np.zeros(1, bool),
        'gt_masks': PolygonMasks([[corners]], 128, 160) if polygons else BitmapMasks(mask, 128, 160),
    }


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('polygons', [False, True])
@pytest.mark.parametrize('img_scale', [(160, 128), (128, 160), (160, 160)])
def test_masks_cover_what_is_bright(img_scale: tuple[int, int], polygons: bool, channels: int) -> None:
    """The image is the oracle: all of its bright pixels are those of the masks."""
    transform = TRANSFORMS.build({'type': 'mmdet.CachedMosaic', 'img_scale': img_scale, 'pad_val': 10.0})
    for _ in range(12):
        results = transform(picture(polygons, channels))
        image, masks = results['img'], results['gt_masks'].to_ndarray()
        assert masks.shape[1:] == image.shape[:2] == results['img_shape'][:2]
        if image.shape[:2] == (128, 160):  # the first images only fill the memory
            continue
        bright = (image if channels == 1 else image[..., 0]) > 105
        covered = masks.any(axis=0)
        assert bright.sum() > 1000 and (bright & covered).sum() / (bright | covered).sum() > 0.93
