import json
import re
from pathlib import Path

from mmdet_ir.analysis.errors.comparison import compare_models
from mmdet_ir.analysis.images import _add_boxes, ground_truth_of, select_images
from mmdet_ir.datasets.ir_dataset import IRDataset
from mmdet_ir.visualization import GridRow, draw_grid
from mmdet_ir.visualization.picture import as_picture

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils

WIDTH, HEIGHT, SCALE = 60, 40, 3
GAP, HEADER = 10, 34


def instances(label, mask, **scores):
    ys, xs = np.nonzero(mask)
    box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    return InstanceData(bboxes=np.array([box], dtype=float), labels=np.array([label]), masks=mask[None], **scores)


def panel(picture, column):
    x = GAP + column * (WIDTH * SCALE + GAP)
    return picture[HEADER : HEADER + HEIGHT * SCALE, x : x + WIDTH * SCALE]


@pytest.fixture
def drawn(tmp_path):
    """A flat grey image, a car in the truth, a drone of score 0.4 as prediction."""

    def draw(score_thr):
        mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
        mask[10:30, 20:50] = True
        image = np.full((HEIGHT, WIDTH), 100, dtype=np.uint8)
        row = GridRow(image, instances(1, mask), [instances(3, mask, scores=np.array([0.4]))], name='')
        path = tmp_path / 'out' / 'grid.png'
        draw_grid([row], path, **IRDataset.METAINFO, score_thr=score_thr, panel_width=WIDTH * SCALE)
        assert [file.name for file in path.parent.iterdir()] == ['grid.png']  # nothing temporary left
        return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)

    return draw


def test_panels_show_input_truth_and_prediction(drawn):
    picture = drawn(score_thr=0.3)
    assert picture.shape[1] == 3 * WIDTH * SCALE + 4 * GAP
    y, x = 20 * SCALE, 35 * SCALE  # inside the mask, away from contour, box and text
    outside_y, outside_x = 35 * SCALE, 5 * SCALE
    assert (panel(picture, 0) == 100).all()
    palette = IRDataset.METAINFO['palette']
    for column, label in ((1, 1), (2, 3)):
        expected = 0.6 * 100 + 0.4 * np.array(palette[label])
        np.testing.assert_allclose(panel(picture, column)[y, x], expected, atol=1.5)
        assert (panel(picture, column)[outside_y, outside_x] == 100).all()


def test_low_scores_are_not_drawn(drawn):
    picture = drawn(score_thr=0.5)
    assert (panel(picture, 2) == 100).all()
    assert not (panel(picture, 1) == 100).all()


def test_no_image_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='expected at least one image to draw, got none'):
        draw_grid([], tmp_path / 'grid.png', **IRDataset.METAINFO)


def test_each_model_has_a_column(tmp_path):
    masks = np.zeros((2, HEIGHT, WIDTH), dtype=bool)
    masks[0, 10:30, 20:50] = masks[1, 0:20, 0:30] = True
    predictions = [instances(3, masks[0], scores=np.array([0.4])), instances(2, masks[1], scores=np.array([0.9]))]
    row = GridRow(np.full((HEIGHT, WIDTH), 100, dtype=np.uint8), instances(1, masks[0]), predictions)
    options = {**IRDataset.METAINFO, 'panel_width': WIDTH * SCALE, 'titles': ('first', 'second')}
    draw_grid([row, row], tmp_path / 'grid.png', **options)
    picture = cv2.cvtColor(cv2.imread(str(tmp_path / 'grid.png')), cv2.COLOR_BGR2RGB)
    assert picture.shape[1] == 4 * WIDTH * SCALE + 5 * GAP
    palette = IRDataset.METAINFO['palette']
    inside = {2: (25, 40, 3), 3: (15, 10, 2)}  # row and column of the image, label
    for column, (y, x, label) in inside.items():
        expected = 0.6 * 100 + 0.4 * np.array(palette[label])
        np.testing.assert_allclose(panel(picture, column)[y * SCALE, x * SCALE], expected, atol=1.5)
        other_y, other_x, _ = inside[5 - column]
        assert (panel(picture, column)[other_y * SCALE, other_x * SCALE] == 100).all()
    with pytest.raises(ValueError, match=r'expected predictions of 1 models for each image, got \{2\}'):
        draw_grid([row], tmp_path / 'grid.png', **IRDataset.METAINFO)


def test_masks_without_boxes_get_one():
    masks = np.zeros((3, HEIGHT, WIDTH), dtype=bool)
    masks[0, 5:9, 20:31] = masks[0, 7, 40] = masks[1, 3, 4] = True
    boxes = np.array([[0, 0, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]], dtype=np.float32)
    added = _add_boxes(InstanceData(bboxes=torch.from_numpy(boxes), masks=torch.from_numpy(masks)))
    np.testing.assert_array_equal(added.bboxes, [[20, 5, 41, 9], [1, 2, 3, 4], [0, 0, 0, 0]])


def write_dataset(folder, labels_of_images, segmentation):
    annotations = []
    for image_id, labels in enumerate(labels_of_images, start=1):
        for label in labels:
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image_id,
                    'category_id': label + 1,
                    'bbox': [20, 10, 30, 20],
                    'area': 600,
                    'iscrowd': 0,
                    'segmentation': segmentation,
                }
            )
    images = [
        {'id': i, 'width': WIDTH, 'height': HEIGHT, 'file_name': f'{i}.png'}
        for i in range(1, len(labels_of_images) + 1)
    ]
    categories = [{'id': i, 'name': name} for i, name in enumerate(IRDataset.METAINFO['classes'], start=1)]
    folder.mkdir(exist_ok=True)
    ann_file = folder / 'val.json'
    ann_file.write_text(json.dumps({'images': images, 'annotations': annotations, 'categories': categories}))
    for image in images:
        cv2.imwrite(str(folder / image['file_name']), np.zeros((HEIGHT, WIDTH), dtype=np.uint8))
    return IRDataset(ann_file=str(ann_file), data_prefix={'img': str(folder)}, pipeline=[], test_mode=True)


POLYGON = [[20, 10, 50, 10, 50, 30, 20, 30]]


def test_selection_covers_rare_classes_and_is_repeatable(tmp_path):
    labels = [[0, 1]] * 20 + [[3]] + [[]] * 5 + [[2]]  # drones and bicycles appear once each
    dataset = write_dataset(tmp_path, labels, POLYGON)
    chosen = select_images(dataset, 3)
    assert {20, 26} < set(chosen) and len(set(chosen)) == 3
    assert select_images(dataset, 3) == chosen
    assert len(select_images(dataset, 100)) == len(labels)


def test_every_kind_of_segmentation_gives_the_same_mask(tmp_path):
    expected = np.zeros((HEIGHT, WIDTH), dtype=bool)
    expected[10:30, 20:50] = True
    compressed = mask_utils.encode(np.asfortranarray(expected, dtype=np.uint8))
    # runs of 0 and 1 alternately, column by column: 20 empty columns and 10 pixels, then 30 times 20 on, 20 off
    counts = [20 * HEIGHT + 10] + [20] * 59 + [10 + 10 * HEIGHT]
    kinds = {
        'polygon': POLYGON,
        'rle': {'size': [HEIGHT, WIDTH], 'counts': compressed['counts'].decode()},
        'uncompressed': {'size': [HEIGHT, WIDTH], 'counts': counts},
    }
    for name, segmentation in kinds.items():
        truth = ground_truth_of(write_dataset(tmp_path / name, [[3], []], segmentation), 0)
        np.testing.assert_array_equal(truth.masks, expected[None], err_msg=name)
        np.testing.assert_array_equal(truth.bboxes, [[20, 10, 50, 30]])
        assert truth.labels.tolist() == [3]
    empty = ground_truth_of(write_dataset(tmp_path / 'empty', [[3], []], POLYGON), 1)
    assert empty.masks.shape == (0, HEIGHT, WIDTH) and len(empty) == 0


def test_picture_undoes_resizing_padding_and_channel_order():
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)  # BGR
    image[:, :30] = (200, 100, 0)
    packed = np.full((HEIGHT * 2 + 8, WIDTH * 2 + 8, 3), 255, dtype=np.uint8)  # padded at the right and the bottom
    packed[: HEIGHT * 2, : WIDTH * 2] = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    meta = {'ori_shape': (HEIGHT, WIDTH), 'scale_factor': (2.0, 2.0)}
    inputs = torch.from_numpy(packed).permute(2, 0, 1)
    np.testing.assert_array_equal(as_picture(inputs, meta), image[..., ::-1])
    stretched = as_picture(inputs.float() / 1000, meta)  # floats fill 0..255
    np.testing.assert_array_equal(stretched[0, 0], [0, 128, 255])


def test_models_are_compared_on_the_same_images_only(tmp_path):
    configs = []
    for name, images in (('one', 3), ('two', 4)):
        dataset = write_dataset(tmp_path / name, [[3]] * images, POLYGON)
        data = {'type': 'IRDataset', 'ann_file': dataset.ann_file, 'data_prefix': dataset.data_prefix, 'pipeline': []}
        configs.append(tmp_path / f'{name}.py')
        configs[-1].write_text(f'test_dataloader = dict(dataset=dict(test_mode=True, **{data}))')
    first, second = configs
    weights = tmp_path / 'weights.pth'
    with pytest.raises(ValueError, match=r'two\.py: expected the test images of .*one\.py, got others'):
        compare_models([(first, weights), (second, weights)])
    with pytest.raises(ValueError, match='titles: expected 2, one for each model, got 1'):
        compare_models([(first, weights), (second, weights)], titles=['A'])


def test_models_are_compared_on_the_same_classes_only(tmp_path):
    """Label 0 of one would be drawn, and judged, as what label 0 of the other is."""
    dataset = write_dataset(tmp_path, [[3]], POLYGON)
    names, coco = list(dataset.metainfo['classes']), json.loads(Path(dataset.ann_file).read_text())
    configs = []
    for name, classes in (('one', names), ('two', names[::-1]), ('three', ['dog', *names[1:]])):
        coco['categories'] = [{'id': i, 'name': text} for i, text in enumerate(classes, 1)]
        (tmp_path / f'{name}.json').write_text(json.dumps(coco))
        data = {'type': 'IRDataset', 'ann_file': f'{tmp_path}/{name}.json', 'data_prefix': dataset.data_prefix}
        data |= {'pipeline': [], 'metainfo': {'classes': tuple(classes)}}
        configs.append(tmp_path / f'{name}.py')
        configs[-1].write_text(f'test_dataloader = dict(dataset=dict(test_mode=True, **{data}))')
    for other, classes in ((configs[1], names[::-1]), (configs[2], ['dog', *names[1:]])):
        lists = f'expected the classes of {configs[0]}, {names} in this order, got {classes};'
        with pytest.raises(ValueError, match=re.escape(lists)):
            compare_models([(configs[0], 'a.pth'), (other, 'b.pth')])
