"""Three data sets of other classes than the project's."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

WIDTH, HEIGHT = 160, 128
SETS = {
    'deep': (('fox', 'hot engine', 'ship'), np.uint16),
    'grey': (tuple(f'kind {i}' for i in range(12)), np.uint8),
    'degrees': (('leak',), np.float32),
}


@pytest.fixture(scope='package')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sets of six images of 160x128 pixels, with targets of 12x24 pixels; values begin at 1000."""
    root = tmp_path_factory.mktemp('own')
    for name, (classes, dtype) in SETS.items():
        rng, images, annotations = np.random.default_rng(0), [], []
        (root / name / 'images').mkdir(parents=True)
        (root / name / 'annotations').mkdir()
        for number in range(6):
            pixels = rng.uniform(0, 100, (HEIGHT, WIDTH)) + (0 if dtype == np.uint8 else 1000)
            suffix = '.png' if dtype != np.float32 else '.tiff'
            cv2.imwrite(str(root / name / 'images' / f'{number}{suffix}'), pixels.astype(dtype))
            images.append({'id': number, 'file_name': f'{number}{suffix}', 'width': WIDTH, 'height': HEIGHT})
            for target in range(4):
                x, y = 10 + 36 * target, 20
                annotations.append(
                    {
                        'id': len(annotations) + 1,
                        'image_id': number,
                        'category_id': len(annotations) % len(classes) + 1,
                        'bbox': [x, y, 12, 24],
                        'area': 288,
                        'iscrowd': 0,
                        'segmentation': [[x, y, x + 12, y, x + 12, y + 24, x, y + 24]],
                    }
                )
        categories = [{'id': i, 'name': n} for i, n in enumerate(classes, start=1)]
        content = json.dumps({'images': images, 'annotations': annotations, 'categories': categories})
        for split in ('train', 'val'):
            (root / name / 'annotations' / f'{split}.json').write_text(content)
    return root


@pytest.fixture(scope='package')
def sets() -> dict[str, tuple[tuple[str, ...], type]]:
    """Classes and type of the pixels of each set."""
    return SETS
