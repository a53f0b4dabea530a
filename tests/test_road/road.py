"""The road of users beside ours: whole tools on files as other programs write them, and configs as people write them.

The rule behind every test here: a tool does what was asked and ends with 0, or it says in words what it did not do and
ends with another code. Nothing is lost without a word, and no traceback reaches the screen.
"""

import json
import re
import runpy
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

REPO = Path(__file__).parents[2]
WIDTH, HEIGHT = 96, 64
CLASSES = ('human', 'car', 'bicycle', 'uav')


@dataclass(frozen=True)
class Done:
    """What a tool did: its exit code, and all that it wrote to the screen."""

    code: int
    text: str

    def told(self, *patterns: str) -> 'Done':
        """Asserts that the tool ended with a code other than 0, without a traceback, with all these words."""
        assert self.code in (1, 2), f'exit code {self.code}\n{self.text[-3000:]}'
        return self.said(*patterns)

    def went_well(self, *patterns: str) -> 'Done':
        """Asserts exit code 0, with all these words."""
        assert self.code == 0, f'exit code {self.code}\n{self.text[-3000:]}'
        return self.said(*patterns)

    def said(self, *patterns: str) -> 'Done':
        assert 'Traceback (most recent call last)' not in self.text, self.text[-3000:]
        for pattern in patterns:
            assert re.search(pattern, self.text, re.IGNORECASE), f'{pattern!r} is not in\n{self.text[-3000:]}'
        return self


def run_in_process(name: str, arguments: list[str]) -> int:
    """A tool's exit code, in this process."""
    sys.argv = [name, *arguments]
    try:
        runpy.run_path(str(REPO / 'tools' / name), run_name='__main__')
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f'{end.code}\n')
            return 1
        return int(end.code or 0)
    return 0


def scene(seed: int, low: int = 3000, high: int = 3600) -> np.ndarray:
    """Counts ``[HEIGHT, WIDTH]`` uint16: smooth ground, warm blob, noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ground = 0.3 + 0.2 * np.sin(x / 19 + seed) * np.cos(y / 11)
    blob = 0.5 * np.exp(-(((x - 20 - 7 * seed % 60) / 6) ** 2) - ((y - 30) / 9) ** 2)
    counts = low + (high - low) * (ground + blob) + rng.normal(0, 4, (HEIGHT, WIDTH))
    return counts.round().astype(np.uint16)


def grey(seed: int) -> np.ndarray:
    """The same as 8-bit grey levels."""
    counts = scene(seed).astype(float)
    return (255 * (counts - counts.min()) / np.ptp(counts)).round().astype(np.uint8)


def put(path: Path, content: np.ndarray | bytes | str | dict) -> Path:
    """Writes pixels, bytes, text or JSON; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, np.ndarray):
        assert cv2.imwrite(str(path), content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding='utf-8', newline='')
    return path


def rectangle(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def coco(images: int, classes: tuple[str, ...] = CLASSES, suffix: str = '.png', targets: int = 4) -> dict:
    """A sound COCO file: in each image ``targets`` rectangles of 14x20 pixels, of all classes in turn."""
    annotations = []
    for image in range(images):
        for number in range(targets):
            x, y = 4 + 22 * (number % 4), 8 + 22 * (number // 4)
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image + 1,
                    'category_id': (image + number) % len(classes) + 1,
                    'bbox': [x, y, 14, 20],
                    'area': 280,
                    'iscrowd': 0,
                    'segmentation': [rectangle(x, y, 14, 20)],
                }
            )
    return {
        'images': [
            {'id': i + 1, 'file_name': f'a{i}{suffix}', 'width': WIDTH, 'height': HEIGHT} for i in range(images)
        ],
        'annotations': annotations,
        'categories': [{'id': i, 'name': name} for i, name in enumerate(classes, start=1)],
    }


def write_set(root: Path, content: dict, pixels: Callable[[int], np.ndarray] = grey) -> Path:
    """A data set of this project's layout, the same images and targets in both parts."""
    for number, image in enumerate(content['images']):
        put(root / 'images' / image['file_name'], pixels(number))
    for split in ('train', 'val'):
        put(root / 'annotations' / f'{split}.json', content)
    return root


def class_counts(folder: Path) -> dict[str, int]:
    """Instances by class name over all parts of a converted data set."""
    counts = Counter()
    for file in (folder / 'annotations').glob('*.json'):
        content = json.loads(file.read_text())
        names = {category['id']: category['name'] for category in content['categories']}
        counts.update(names[annotation['category_id']] for annotation in content['annotations'])
    return dict(counts)


CONFIG = """
_base_ = '{repo}/configs/quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic.py'
data_root = '{root}/'
metainfo = dict(classes={classes!r})
data = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=data)
val_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=data)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
model = dict(roi_head=dict(bbox_head=dict(num_classes={number}), mask_head=dict(num_classes={number})))
train_cfg = dict(max_epochs=1, val_interval=1)
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=2)]
default_hooks = dict(logger=dict(interval=1))
"""


@dataclass(frozen=True)
class Trained:
    """A model of the road: its config, its weights, and the folder of its images."""

    config: Path
    checkpoint: Path
    images: Path
