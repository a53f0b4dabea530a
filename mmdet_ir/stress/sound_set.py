"""A small sound data set, which campaigns damage."""

import json
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from ..datasets.coco_files import class_categories

WIDTH, HEIGHT = 40, 32
ANNOTATIONS = 'annotations/train.json'
_NAMES = ('a.png', 'b.jpg', 'c.bmp', 'd.tif', 'e.tif', 'f.npy', 'sub/g.png')  # e.tif is a stack


def sound_set(root: Path) -> dict[str, bytes]:
    """Writes a sound data set: 7 images of 5 kinds, 8 and 16 bits and floats; polygons, both kinds of RLE, a crowd.

    Returns:
        Content of each file by its path in ``root``.
    """
    (root / 'annotations').mkdir(parents=True)
    (root / 'images' / 'sub').mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number, name in enumerate(_NAMES):
        path = root / 'images' / name
        image = rng.integers(20, 200, (HEIGHT, WIDTH), np.uint8)
        counts = rng.integers(7000, 9000, (HEIGHT, WIDTH), np.uint16)
        if name == 'd.tif':
            cv2.imwrite(str(path), counts)
        elif name == 'e.tif':
            cv2.imwritemulti(str(path), [counts, counts + 1, counts + 2])
        elif name == 'f.npy':
            np.save(path, image.astype(np.float32))
        else:
            cv2.imwrite(str(path), image)
        page = {'page': 1} if name == 'e.tif' else {}
        images.append({'id': number, 'file_name': name, 'width': WIDTH, 'height': HEIGHT, **page})
        for x, y in ((3, 4), (20, 9)):
            annotations.append(_annotation(len(annotations), number, x, y))
    coco = {'info': {'year': 2025}, 'images': images, 'annotations': annotations, 'categories': class_categories()}
    (root / ANNOTATIONS).write_text(json.dumps(coco), encoding='utf-8')
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob('*')) if p.is_file()}


def _annotation(number: int, image: int, x: int, y: int) -> dict:
    w, h = 10 + number % 5, 12
    square = [x, y, x + w, y, x + w, y + h, x, y + h]
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + h, x : x + w] = 1
    text = mask_utils.encode(np.asfortranarray(mask))['counts'].decode('ascii')
    flat = np.concatenate([[0], mask.T.ravel(), [0]])
    edges = np.flatnonzero(np.diff(flat))
    runs = np.diff([0, *edges.tolist(), WIDTH * HEIGHT]).tolist()
    kinds = (
        [square],
        {'size': [HEIGHT, WIDTH], 'counts': text},
        {'size': [HEIGHT, WIDTH], 'counts': runs},
        [square, [x, y, x + 3.5, y, x + 3.5, y + 2.25]],
    )
    return {
        'id': number + 1,
        'image_id': image,
        'category_id': number % 4 + 1,
        'bbox': [x, y, w, h],
        'area': w * h,
        'iscrowd': int(number == 5),
        'segmentation': kinds[number % 4],
    }
