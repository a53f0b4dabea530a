"""The page of ``tools/data/browse.py``: its numbers, its pictures, and that it needs nothing else."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

from mmdet_ir.analysis.browse.page import browse, draw_pair
from mmdet_ir.analysis.browse.plots import plot_contrasts, plot_places
from mmdet_ir.analysis.browse.statistics import Statistics, box_masks, measure_split
from mmdet_ir.datasets.coco_files import class_categories
from mmdet_ir.datasets.images import infrared_io

import cv2
import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

WIDTH, HEIGHT = 64, 48
BOXES = {1: [(1, [10, 10, 16, 9]), (2, [40, 20, 8, 18])], 2: [(1, [30, 5, 4, 4])], 3: []}  # category, xywh by image


def counts(number: int) -> np.ndarray:
    """14-bit picture: 8000 and 8100 in a chequerboard, targets 400 above the mean."""
    image = 8000 + 100 * (np.indices((HEIGHT, WIDTH)).sum(axis=0) % 2)
    for _, (x, y, w, h) in BOXES[number]:
        image[y : y + h, x : x + w] = 8450
    return image.astype(np.uint16)


@pytest.fixture
def config(tmp_path) -> Config:
    (tmp_path / 'images').mkdir()
    annotations = []
    for number, targets in BOXES.items():
        cv2.imwrite(str(tmp_path / 'images' / f'{number}.png'), counts(number))
        for category, (x, y, w, h) in targets:
            polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': category,
                    'iscrowd': 0,
                    'bbox': [x, y, w, h],
                    'area': w * h,
                    'segmentation': [polygon],
                }
            )
    annotations.append(annotations[-1] | {'id': 99, 'iscrowd': 1})
    images = [{'id': i, 'file_name': f'{i}.png', 'width': WIDTH, 'height': HEIGHT} for i in BOXES]
    content = {'images': images, 'annotations': annotations, 'categories': class_categories()}
    for split in ('train', 'val'):
        (tmp_path / f'{split}.json').write_text(json.dumps(content))
    pipeline = [
        {'type': 'LoadIRImageFromFile', 'channels': 1, 'raw': True},
        {'type': 'ToneMapping', 'method': 'linear'},
        {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True, 'poly2mask': False},
        {'type': 'RandomFlip', 'prob': 1.0},
        {'type': 'PackDetInputs'},
    ]
    dataset = {'type': 'IRDataset', 'data_root': str(tmp_path), 'data_prefix': {'img': 'images'}, 'pipeline': pipeline}
    train = {'type': 'RepeatDataset', 'times': 2, 'dataset': dataset | {'ann_file': 'train.json'}}
    val = dataset | {'ann_file': 'val.json', 'test_mode': True}
    return Config(
        {
            'default_scope': 'mmdet',
            'train_dataloader': {'dataset': train},
            'val_dataloader': {'dataset': val},
            'test_dataloader': {'dataset': val},
        }
    )


class Page(HTMLParser):
    """Collects table cells and everything that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells, self.sources, self.tags, self.open = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.add(tag)
        self.open.append(tag)
        self.sources += [value for name, value in attributes if name in ('src', 'href', 'srcset', 'action')]
        if tag == 'td':
            self.cells.append('')

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if 'td' in self.open:
            self.cells[-1] += data


def test_pixels_that_boxes_touch():
    masks = box_masks([[1.2, 0, 3, 2.5], [-4, 1, 1, 99], [-5, -5, -1, -1]], (3, 4))
    assert masks.astype(int).tolist() == [
        [[0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0]],
        [[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ]


@pytest.mark.parametrize('with_masks', [True, False])
def test_targets_darker_than_their_surroundings_are_negative(config, with_masks):
    """Chequerboard of 8000 and 8100: mean 8050, deviation 50; targets stand out by 8 deviations, here downwards."""
    for number in BOXES:
        path = str(Path(config.val_dataloader.dataset.data_root, 'images', f'{number}.png'))
        cv2.imwrite(path, 16383 - counts(number))
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(config.val_dataloader.dataset)
    if not with_masks:
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        for info in infos:
            for instance in info['instances']:
                del instance['mask']
        dataset.get_data_info = infos.__getitem__
    np.testing.assert_allclose(measure_split('val', dataset).contrasts, [-8, -8, -8], atol=0.05)


def test_temperatures_are_read_as_the_config_loads_them(config, monkeypatch):
    """The picture of each R-JPEG is twice as wide as its thermal data, which the annotations are of."""
    folder = Path(config.val_dataloader.dataset.data_root)
    content = json.loads((folder / 'val.json').read_text())
    for image in content['images']:
        image['file_name'] = f'{image["id"]}.jpg'
        cv2.imwrite(str(folder / 'images' / image['file_name']), np.zeros((HEIGHT, 2 * WIDTH), np.uint8))
    (folder / 'val.json').write_text(json.dumps(content))
    monkeypatch.setattr(
        infrared_io,
        '_read_rjpeg',
        lambda content, path, settings: counts(int(Path(path).stem)) * np.float32(settings['emissivity']),
    )
    config.val_dataloader.dataset.pipeline[0].update(rjpeg='celsius', rjpeg_settings={'emissivity': 0.01})
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(config.val_dataloader.dataset)
    found = measure_split('val', dataset)
    assert dict(found.depths) == {'float32': 3}
    np.testing.assert_allclose(found.contrasts, [8, 8, 8], atol=0.05)


def test_statistics(config):
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(config.val_dataloader.dataset)
    found = measure_split('val', dataset)
    assert found.per_image.tolist() == [2, 1, 0]
    assert found.labels.tolist() == [0, 1, 0]
    np.testing.assert_allclose(found.sides, [12, 12, 4])  # of 16x9, 8x18 and 4x4
    np.testing.assert_allclose(found.centres * (64, 48), [(18, 14.5), (44, 29), (32, 7)])
    np.testing.assert_allclose(found.contrasts, [8, 8, 8], atol=0.05)
    assert (found.ignored, dict(found.sizes), dict(found.depths)) == (1, {(64, 48): 3}, {'uint16': 3})
    assert measure_split('val', dataset, max_images=1).depths.total() == 1


def test_page(config, tmp_path):
    out = tmp_path / 'deep' / 'page.html'
    indices = browse(config, out, split='train', count=2)
    assert len(indices) == 2
    assert [file.name for file in out.parent.iterdir()] == ['page.html']
    text = out.read_text()
    page = Page(text)
    # Nothing is fetched, and nothing runs.
    assert all(source.startswith('data:image/') for source in page.sources)
    assert not page.tags & {'script', 'link', 'iframe', 'object'}
    assert not re.search(r'url\(|@import', text)
    # train and (val, test) are rows of their own; val and test are one file.
    assert page.cells[:14] == [
        'train',
        '3',
        '3',
        '1',
        '1',
        '64x48: 3',
        'uint16',
        'val, test',
        '3',
        '3',
        '1',
        '1',
        '64x48: 3',
        'uint16',
    ]
    assert page.cells[14:23] == ['human', '2 (67 %)', '8.0', '8.0', '100 %', '2 (67 %)', '8.0', '8.0', '100 %']
    pictures = [base64.b64decode(s.split(',')[1]) for s in page.sources if 'jpeg' in s]
    assert len(pictures) == 2
    shown = cv2.imdecode(np.frombuffer(pictures[0], np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (315, 840, 3)  # twice 420 wide, 48:64
    # The tone-mapped and flipped target of the first image: bright at the left, red in the drawing at the right.
    assert indices[0] % 3 == 0  # the image with most classes
    x, y = (WIDTH - 18) * 420 // WIDTH, 14.5 * 315 / HEIGHT
    left, right = shown[int(y), x].astype(int), shown[int(y), 420 + x].astype(int)
    assert left.min() > 200 and np.ptp(left) < 20
    assert right[2] - right[0] > 40


def test_pair_shows_the_image_twice_and_draws_on_one():
    image = np.full((40, 60, 3), 100, np.uint8)
    mask = np.zeros((1, 40, 60), bool)
    mask[0, 10:30, 20:50] = True
    instances = InstanceData(bboxes=np.array([[20.0, 10, 50, 30]]), labels=np.array([1]), masks=mask)
    pair = draw_pair(image, instances, ('human', 'car'), np.array([[1, 0, 0], [0, 0, 1.0]]), width=180)
    assert pair.shape == (120, 360, 3)
    assert (pair[:, :180] == 100).all()
    assert abs(pair[60, 180 + 105].astype(int) - [60, 60, 162]).max() <= 2  # 0.6 * 100 + 0.4 * blue
    assert (pair[110, 180 + 20] == 100).all()


def test_plots_of_empty_sets():
    empty = Statistics(
        'train',
        'a.json',
        per_image=np.zeros(0, int),
        labels=np.zeros(0, int),
        sides=np.zeros(0),
        centres=np.zeros((0, 2)),
        contrast_labels=np.zeros(0, int),
        contrasts=np.zeros(0),
    )
    for plot in (plot_contrasts, plot_places):
        assert plot([empty], ('car',), [(1, 0, 0)]).rstrip().endswith('</svg>')


def test_mistakes(config, tmp_path):
    with pytest.raises(ValueError, match='at least 1 image, got 0'):
        browse(config, tmp_path / 'page.html', count=0)
    config.pop('train_dataloader')
    with pytest.raises(ValueError, match=r"one of \['val', 'test'\], got 'train'"):
        browse(config, tmp_path / 'page.html')
