"""What the tests of the releases share."""

import json
import math
from collections import Counter
from pathlib import Path

from pycocotools import mask as mask_utils

NAMES = {1: 'human', 2: 'car', 3: 'bicycle', 4: 'uav'}


def load(out: Path) -> dict[str, dict]:
    return {split: json.loads((out / 'annotations' / f'{split}.json').read_text()) for split in ('train', 'val')}


def check_masks(out: Path) -> Counter:
    """Every annotation's mask: polygons, derived, inside its box, of its area. Returns the counts of the methods."""
    methods = Counter()
    for coco in load(out).values():
        sizes = {image['id']: (image['height'], image['width']) for image in coco['images']}
        assert {image['file_name'] for image in coco['images']} <= {p.name for p in (out / 'images').iterdir()}
        for a in coco['annotations']:
            height, width = sizes[a['image_id']]
            assert a['mask_source'] == 'derived'
            assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in a['segmentation'])
            rle = mask_utils.merge(mask_utils.frPyObjects(a['segmentation'], height, width))
            assert a['area'] == mask_utils.area(rle) > 0
            x, y, w, h = a['bbox']
            assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
            mx, my, mw, mh = mask_utils.toBbox(rle)
            assert mx >= math.floor(x) and mx + mw <= math.ceil(x + w)
            assert my >= math.floor(y) and my + mh <= math.ceil(y + h)
            methods[NAMES[a['category_id']], a['mask_method']] += 1
    return methods
