"""Scenes with masks and detections of every kind that a COCO evaluation has to tell apart."""

import numpy as np
from pycocotools import mask as mask_utils


def rle_of(mask):
    """Compressed RLE, as JSON holds it."""
    rle = mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {'size': list(mask.shape), 'counts': rle['counts'].decode()}


def rectangle(shape, x, y, w, h):
    mask = np.zeros(shape, bool)
    mask[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = True
    return mask


def box_of(mask):
    """x, y, w, h in pixels; zeros for an empty mask."""
    return mask_utils.toBbox(rle_of(mask)).tolist()


def random_scenes(seed, num_images=8, shape=(72, 90), size=(2, 50)):
    """COCO content and COCO results.

    Ids are far from consecutive; some images have no target, some targets are crowds, have a ragged mask, or an
    annotated area that is not the mask's; detections are good, shifted, of another class, empty, or in images without
    targets, and often have equal scores. The last image has neither targets nor detections.
    """
    rng = np.random.default_rng(seed)
    ids = rng.choice(10_000, num_images, replace=False).tolist()
    categories = sorted(rng.choice(np.arange(1, 90), 3, replace=False).tolist())
    annotations, detections = [], []

    def detect(image_id, category, mask):
        box = box_of(mask)
        box[0] += 0.25
        detections.append(
            {
                'image_id': image_id,
                'category_id': category,
                'score': round(float(rng.random()), 1),
                'segmentation': rle_of(mask),
                'bbox': box,
            }
        )

    for number, image_id in enumerate(ids[:-1]):
        for _ in range(rng.integers(1, 7) if number else 0):
            (w, h), x, y = rng.integers(*size, 2), rng.integers(0, shape[1] - 2), rng.integers(0, shape[0] - 2)
            mask = rectangle(shape, x, y, w, h)
            if rng.random() < 0.5:
                mask &= rng.random(shape) < 0.95
            category = int(rng.choice(categories))
            if mask.any():
                area = float(mask.sum()) if rng.random() < 0.6 else 0.8 * box_of(mask)[2] * box_of(mask)[3]
                annotations.append(
                    {
                        'id': 3 + 7 * len(annotations),
                        'image_id': image_id,
                        'category_id': category,
                        'bbox': box_of(mask),
                        'area': area,
                        'iscrowd': int(rng.random() < 0.15),
                        'segmentation': rle_of(mask),
                    }
                )
            for _ in range(rng.integers(0, 4)):
                dx, dy = rng.integers(-3, 4, 2)
                found = category if rng.random() < 0.8 else int(rng.choice(categories))
                detect(image_id, found, rectangle(shape, x + dx, y + dy, w, h))
        detect(image_id, int(rng.choice(categories)), rectangle(shape, 5, 5, 30, 9 * int(rng.random() < 0.7)))
    coco = {
        'images': [
            {
                'id': i,
                'height': shape[0],
                'width': shape[1],
                'file_name': f'{i}.png',
                'scenario': ('day', 'night')[i % 2],
            }
            for i in ids
        ],
        'annotations': annotations,
        'categories': [{'id': i, 'name': f'class {i}'} for i in categories],
    }
    return coco, detections
