import json

from mmdet_ir.analysis.errors.comparison import choose_positions, compare_files, judge, most_different
from mmdet_ir.analysis.errors.grid import _window, draw_comparison
from mmdet_ir.cli import named_entries

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

WIDTH, HEIGHT = 160, 120
GAP, LEFT, TOP, PANEL = 8, 34, 40, 320  # pixels of the picture
CAR, UAV = 2, 4


def rle(box):
    x, y, w, h = box
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[y : y + h, x : x + w] = 1
    encoded = mask_utils.encode(mask)
    return {**encoded, 'counts': encoded['counts'].decode()}


def found(image, category, box, score=0.9):
    return {'image_id': image, 'category_id': category, 'segmentation': rle(box), 'score': score}


BOX, OTHER = (40, 40, 30, 20), (110, 80, 20, 16)  # two cars in each image


@pytest.fixture
def files(tmp_path):
    """Images 11 to 14 with two cars each: model A finds all, B errs in other ways in each image but the last."""
    targets = [
        {
            'id': 2 * i + k,
            'image_id': i,
            'category_id': CAR,
            'iscrowd': 0,
            'bbox': list(box),
            'area': box[2] * box[3],
            'segmentation': rle(box),
        }
        for i in range(11, 15)
        for k, box in enumerate((BOX, OTHER))
    ]
    names = ['human', 'car', 'bicycle', 'uav']
    coco = {
        'images': [{'id': i, 'file_name': f'{i}.png', 'width': WIDTH, 'height': HEIGHT} for i in range(11, 15)],
        'annotations': targets,
        'categories': [{'id': i, 'name': name} for i, name in enumerate(names, start=1)],
    }
    good = [found(i, CAR, box) for i in range(11, 15) for box in (BOX, OTHER)]
    bad = [d for d in good if (d['image_id'], d['segmentation']) not in [(11, rle(BOX)), (12, rle(BOX))]]
    bad.append(found(12, UAV, BOX))  # 11: missed, 12: mistaken, 13: and one too many, 14: as the other model
    bad.append(found(13, UAV, (10, 10, 12, 12)))
    bad.append(found(14, UAV, (10, 10, 12, 12), score=0.2))  # below the threshold
    paths = {'ann': tmp_path / 'ann.json', 'A': tmp_path / 'a.segm.json', 'B': tmp_path / 'b.segm.json'}
    for name, content in (('ann', coco), ('A', good), ('B', bad)):
        paths[name].write_text(json.dumps(content))
    for i in range(11, 15):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.full((HEIGHT, WIDTH), 90, np.uint8))
    return tmp_path, paths


@pytest.fixture
def comparison(files):
    folder, paths = files
    return compare_files(paths['ann'], folder, {'A': paths['A'], 'B': paths['B']})


def test_mistakes_of_each_model_in_each_image(comparison):
    kinds = [[[m.kind for m in image.mistakes] for image in of_model] for of_model in judge(comparison, range(4))]
    assert kinds == [[[], [], [], []], [['Miss'], ['Cls'], ['Bkg'], []]]


def test_images_in_which_the_models_differ_most_come_first(comparison):
    judged = judge(comparison, range(4))
    ranked = most_different(judged, 4)
    # 12: a car that only A finds and an uav that only B reports; 14: nothing
    assert ranked[0] == 1 and ranked[-1] == 3
    assert len(most_different(judged, 2)) == 2
    assert most_different(judged[1:], 4)[-1] == 3  # of one model: where it errs
    assert choose_positions(comparison, 2, by_errors=True) == ranked[:2]
    assert choose_positions(comparison, 2, by_errors=True, ids=[14]) == [3, 1]
    assert choose_positions(comparison, 2, indices=[2], ids=[11]) == [2, 0]
    assert choose_positions(comparison, 2, ids=['13', '11']) == [2, 0]  # as a command line has them
    with pytest.raises(ValueError, match=r'ids: expected ids of images, got \[3\]'):
        choose_positions(comparison, 2, ids=[3])
    with pytest.raises(ValueError, match=r'indices: expected numbers in 0\.\.3, got \[4\]'):
        choose_positions(comparison, 2, indices=[4])


def red(picture):
    """Where the picture has the red of errors, in the panels only."""
    b, g, r = np.moveaxis(picture.astype(int), -1, 0)
    return (r > 150) & (g < 60) & (b < 60)


def panel(picture, row, column):
    height = round(HEIGHT * PANEL / WIDTH)
    y, x = TOP + row * (height + GAP), LEFT + column * (PANEL + GAP)
    return picture[y : y + height, x : x + PANEL]


def test_red_is_where_a_model_errs_and_nowhere_else(comparison, tmp_path):
    out = tmp_path / 'out' / 'grid.png'
    ids = draw_comparison(comparison, out, indices=[0, 1, 2, 3], mark_errors=True, panel_width=PANEL)
    assert ids == [11, 12, 13, 14]
    assert [file.name for file in out.parent.iterdir()] == ['grid.png']  # nothing temporary left
    picture = cv2.imread(str(out))
    for column in range(4):
        for row in (0, 1):  # ground truth, and the model without mistakes
            assert not red(panel(picture, row, column)).any()
    assert not red(panel(picture, 2, 3)).any()
    scale = PANEL / WIDTH
    boxes = {0: BOX, 1: BOX, 2: (10, 10, 12, 12)}
    for column, (x, y, w, h) in boxes.items():
        ys, xs = np.nonzero(red(panel(picture, 2, column)))
        inner = red(panel(picture, 2, column))[round(y * scale) : round((y + h) * scale)][
            :, : round((x + w / 2) * scale)
        ]
        # the left side of the box lies 3 pixels outside the target
        assert abs(np.flatnonzero(inner.any(axis=0))[0] - (x * scale - 3)) <= 2
        assert abs(xs.min() - (x * scale - 3)) <= 2 and ys.max() >= (y + h) * scale
    share = [red(panel(picture, 2, column))[:, round(BOX[0] * scale) - 3].mean() for column in (0, 1)]
    assert 0 < share[0] < 0.85 * share[1]  # missed is dashed, mistaken is not


def test_zoom_keeps_the_proportions_and_shows_all_mistakes(comparison):
    judged = judge(comparison, range(4))
    assert _window((HEIGHT, WIDTH), [judged[0][0]]) == (0, 0, WIDTH, HEIGHT)  # no mistake: all of it
    left, top, right, bottom = _window((HEIGHT, WIDTH), [judged[0][0], judged[1][0]])
    x, y, w, h = BOX
    assert left < x and top < y and right > x + w and bottom > y + h
    assert (right - left) / (bottom - top) == pytest.approx(WIDTH / HEIGHT, rel=0.03)
    assert right - left < WIDTH
    # near the corner the window stays inside
    left, top, right, bottom = _window((HEIGHT, WIDTH), [judged[1][2]])
    assert (left, top) == (0, 0) and right < WIDTH / 2


def test_without_marks_each_image_has_a_row(comparison, tmp_path):
    out = tmp_path / 'plain.png'
    assert draw_comparison(comparison, out, ids=[11, 12], panel_width=160) == [11, 12]
    picture = cv2.imread(str(out))
    assert picture.shape[1] == 4 * (160 + 10) + 10  # input, ground truth, two models
    assert not red(picture).any()


def test_mistakes_of_the_user(files, comparison, tmp_path):
    folder, paths = files
    with pytest.raises(ValueError, match=r"grid\.xyz: expected a picture whose name ends in one of .*got '\.xyz'"):
        draw_comparison(comparison, tmp_path / 'grid.xyz', ids=[11], mark_errors=True)
    with pytest.raises(ValueError, match="choose: expected 'classes' or 'errors', got 'best'"):
        draw_comparison(comparison, tmp_path / 'grid.png', choose='best')
    with pytest.raises(ValueError, match='images lack the field "counts_file"; image ids: 11'):
        compare_files(paths['ann'], folder, {'A': paths['A']}, image_key='counts_file')
    assert named_entries('x', ['a=b=c', 'd=e']) == {'a': 'b=c', 'd': 'e'}
    for entries in (['a'], ['=a'], ['a='], ['a=b', 'a=c']):
        with pytest.raises(ValueError, match=r'^x: expected'):
            named_entries('x', entries)
