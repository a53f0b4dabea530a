"""Speed of the two libraries that match detections with targets, and whether they agree."""

import time
from statistics import median

import cv2
import numpy as np
from pycocotools import mask as mask_utils
from tqdm import tqdm

from ..evaluation.coco_eval import BACKENDS, accumulate
from ..evaluation.rows import area_rows
from ..markdown import markdown_table


def generate_masks(detections: int, images: int, classes: int, size: tuple[int, int], seed: int) -> tuple[dict, list]:
    """Ellipses as targets and displaced copies of them as detections, with false alarms and ignored regions.

    Args:
        detections: How many in all; spread evenly over the images.
        images: How many.
        classes: How many.
        size: Width and height of the images, pixels.
        seed: Of places, sizes, classes and scores.

    Returns:
        COCO content and COCO results with boxes and compressed RLE masks.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    coco = {
        'images': [{'id': i, 'width': width, 'height': height} for i in range(1, images + 1)],
        'annotations': [],
        'categories': [{'id': i, 'name': f'class {i}'} for i in range(1, classes + 1)],
    }
    found = []

    def entry(image_id: int, category_id: int, centre: np.ndarray, axes: np.ndarray, angle: float) -> dict:
        mask = np.zeros((height, width), np.uint8)
        cv2.ellipse(mask, (centre.tolist(), (2 * axes).tolist(), angle), 1, cv2.FILLED)
        rle = mask_utils.encode(np.asfortranarray(mask))
        return {
            'image_id': image_id,
            'category_id': category_id,
            'bbox': mask_utils.toBbox(rle).tolist(),
            'segmentation': {**rle, 'counts': rle['counts'].decode()},
        }

    shares = np.diff(np.linspace(0, detections, images + 1).round().astype(int))
    for image_id, share in enumerate(tqdm(shares, desc='masks', unit='image'), start=1):
        targets = []
        for _ in range(max(1, share // 4)):
            shape = (rng.uniform((0, 0), size), np.exp(rng.uniform(np.log(2), np.log(60), 2)), rng.uniform(0, 180))
            target = entry(image_id, int(rng.integers(1, classes + 1)), *shape)
            area = int(mask_utils.area(target['segmentation']))
            target |= {'id': len(coco['annotations']) + 1, 'area': area, 'iscrowd': int(rng.random() < 0.03)}
            coco['annotations'].append(target)
            targets.append((target['category_id'], shape))
        for _ in range(share):
            category_id, (centre, axes, angle) = targets[rng.integers(len(targets))]
            shape = (centre + rng.normal(0, 0.1, 2) * axes, axes * np.exp(rng.normal(0, 0.1, 2)), angle)
            if rng.random() < 0.3:
                shape = (rng.uniform((0, 0), size), *shape[1:])
            found.append({**entry(image_id, category_id, *shape), 'score': float(rng.random())})
    return coco, found


def benchmark_backends(coco: dict, detections: list[dict], repeats: int) -> dict[str, dict]:
    """Measures masks and boxes; the libraries take turns, so that other load on the machine hits both.

    Time is CPU time of this process, all its threads together, from entries in memory to precision and recall.

    Args:
        coco: As ``generate_masks`` returns it. So are ``detections``.
        detections: See there.
        repeats: Rounds, of which the median counts; one more before warms up.

    Returns:
        For ``'segm'`` and ``'bbox'``: ``seconds`` of each library, ``ratio`` of pycocotools' to the other's,
        ``max_difference`` of any number in the arrays of precision and recall, and the ``mAP``.
    """
    classes = {category['name']: category['id'] for category in coco['categories']}
    ids = sorted(classes.values())
    result = {}
    for kind in ('segm', 'bbox'):
        seconds, arrays = {backend: [] for backend in BACKENDS}, {}
        for round_ in tqdm(range(repeats + 1), desc=kind, unit='round'):
            for backend in BACKENDS:
                start = time.process_time()
                arrays[backend] = accumulate(
                    coco['images'], coco['annotations'], detections, ids, kind, backend=backend
                )
                if round_:
                    seconds[backend].append(time.process_time() - start)
        typical = {backend: median(values) for backend, values in seconds.items()}
        fast, slow = BACKENDS
        result[kind] = {
            'seconds': typical,
            'ratio': typical[slow] / typical[fast],
            'max_difference': max(float(np.abs(a - b).max()) for a, b in zip(arrays[fast], arrays[slow], strict=True)),
            'mAP': area_rows(*arrays[fast], coco['annotations'], classes)['all']['mAP'],
        }
    return result


def as_table(result: dict[str, dict]) -> str:
    """Markdown table of a measurement."""
    lines = []
    for kind, name in (('segm', 'masks'), ('bbox', 'boxes')):
        row = result[kind]
        times = [f'{row["seconds"][backend]:.2f}' for backend in BACKENDS]
        lines.append([name, *times, f'{row["ratio"]:.1f}', f'{row["max_difference"]:.1e}'])
    return markdown_table(['', *(f'{backend}, s' for backend in BACKENDS), 'ratio', 'largest difference'], lines)
