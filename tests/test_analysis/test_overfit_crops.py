"""Images to overfit: crops that hold whole targets, cut out exactly."""

import json
from pathlib import Path

from mmdet_ir.analysis.overfitting.overfit_crops import choose_crops, uncut_crops, write_crops

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

IMAGE = {'id': 7, 'file_name': 'a.png', 'width': 200, 'height': 120}
CATEGORIES = [{'id': i, 'name': name} for i, name in enumerate(('human', 'car', 'bicycle', 'uav'), start=1)]


def target(x: float, y: float, w: float, h: float, category: int = 1, **others: object) -> dict:
    polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
    return {
        'image_id': 7,
        'category_id': category,
        'bbox': [x, y, w, h],
        'area': w * h,
        'iscrowd': 0,
        'segmentation': [polygon],
        **others,
    }


def windows(*annotations: dict, size: tuple[int, int] = (80, 60)) -> list[tuple]:
    return [crop.window for crop in uncut_crops(IMAGE, list(annotations), size, min_area=100, max_targets=2)]


def test_windows_lie_around_targets_and_inside_the_image() -> None:
    # Centre (110, 60) minus half of 80x60; centre (10, 8) would begin at (-30, -22).
    assert windows(target(100, 50, 20, 20)) == [(70, 30, 150, 90)]
    assert windows(target(0, 0, 20, 16)) == [(0, 0, 80, 60)]
    assert windows(target(180, 100, 20, 20)) == [(120, 60, 200, 120)]


def test_a_window_never_cuts_a_target() -> None:
    centre, neighbour = target(100, 50, 20, 20), target(140, 50, 20, 20)  # x 140..160, the window ends at 150
    # Around the neighbour (centre 150): 110..190 cuts the first (100..120). Both cut: nothing is left.
    assert windows(centre, neighbour) == []
    assert windows(centre, target(150, 50, 20, 20)) == [(70, 30, 150, 90), (120, 30, 200, 90)]  # they only touch
    beyond_its_box = target(100, 50, 20, 20, segmentation=[[60, 50, 120, 50, 120, 70]])
    assert windows(beyond_its_box) == [(50, 30, 130, 90)]  # around 60..120
    assert windows(centre, target(120, 60, 20, 20)) == [(70, 30, 150, 90), (90, 40, 170, 100)]


def test_ignored_small_and_many_targets_are_avoided() -> None:
    centre = target(100, 50, 20, 20)
    assert windows(centre, target(120, 60, 20, 20, iscrowd=1)) == []
    assert windows(centre, target(120, 60, 9, 9)) == []
    assert windows(centre, target(120, 60, 20, 20), target(80, 60, 20, 20)) == []
    assert windows(centre, target(0, 0, 9, 9)) == [(70, 30, 150, 90)]  # far away
    assert windows() == []


def test_a_small_image_is_taken_as_it_is_even_if_a_target_leaves_it() -> None:
    assert windows(target(-5, 50, 30, 20), size=(320, 256)) == [(0, 0, 200, 120)]
    assert windows(target(150, 10, 30, 20), size=(320, 60)) == [(0, 0, 200, 60)]  # only its height is reduced


def test_every_class_is_among_the_chosen_ones() -> None:
    images = [{**IMAGE, 'id': i, 'file_name': f'{i}.png'} for i in range(30)]
    classes = {4: 3, 11: 4, 23: 2}  # the others show class 1
    annotations = [target(100, 50, 20, 20, classes.get(i, 1), id=i + 1) | {'image_id': i} for i in range(30)]
    coco = {'images': images, 'annotations': annotations, 'categories': CATEGORIES}
    crops = choose_crops(coco, 5, (80, 60), 100, 2, 'f.json')
    assert {4, 11, 23} < {crop.image['id'] for crop in crops} and len({crop.image['id'] for crop in crops}) == 5
    assert crops == choose_crops(coco, 5, (80, 60), 100, 2, 'f.json')
    with pytest.raises(ValueError, match=r'f\.json: expected 31 images .* got 30'):
        choose_crops(coco, 31, (80, 60), 100, 2, 'f.json')


def test_pixels_boxes_and_masks_are_cut_out_exactly(tmp_path: Path) -> None:
    """Against masks of the whole image, sliced."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 2**16, (120, 200), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / 'a.png'), picture)
    blob = np.zeros((120, 200), np.uint8)
    cv2.ellipse(blob, (130, 70), (11, 6), 30, 0, 360, 1, -1)
    rows, columns = np.nonzero(blob)
    box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    flat = blob.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.r_[0, changes, flat.size]).tolist()  # runs column by column; the first is of zeros
    compressed = mask_utils.encode(np.asfortranarray(blob))
    polygons = [[100.3, 50.2, 118.9, 52.7, 110.5, 68.4], [101.0, 64.0, 107.0, 64.0, 107.0, 69.0]]
    segmentations = {
        'polygons': polygons,
        'run lengths': {'size': [120, 200], 'counts': counts},
        'compressed': {'size': [120, 200], 'counts': compressed['counts'].decode()},
    }
    polygon_mask = mask_utils.decode(mask_utils.merge(mask_utils.frPyObjects(polygons, 120, 200)))
    for name, segmentation in segmentations.items():
        bbox = [100, 50, 19, 19] if name == 'polygons' else [int(v) for v in box]
        annotation = target(*bbox, category=2, id=5, segmentation=segmentation)
        (crop,) = uncut_crops(IMAGE, [annotation], (80, 60), 100, 2)
        x1, y1, x2, y2 = crop.window
        assert (x2 - x1, y2 - y1) == (80, 60) and x1 > 0 and y1 > 0
        path = write_crops([crop], CATEGORIES, tmp_path, tmp_path / 'out')
        coco = json.loads(path.read_text())
        (image,), (written,) = coco['images'], coco['annotations']
        cut = cv2.imread(str(tmp_path / 'out' / 'images' / image['file_name']), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(cut, picture[y1:y2, x1:x2], err_msg=name)
        assert (image['width'], image['height']) == (80, 60)
        assert written['bbox'] == [bbox[0] - x1, bbox[1] - y1, *bbox[2:]]
        assert written['image_id'] == image['id'] and written['category_id'] == 2
        moved = written['segmentation']
        moved = mask_utils.merge(mask_utils.frPyObjects(moved, 60, 80)) if isinstance(moved, list) else moved
        expected = (polygon_mask if name == 'polygons' else blob)[y1:y2, x1:x2]
        assert expected.sum() > 100
        np.testing.assert_array_equal(mask_utils.decode(moved), expected, err_msg=name)


def test_crops_are_cut_from_the_field_that_training_reads(tmp_path: Path) -> None:
    """``file_name`` is an 8-bit picture, which a tone mapping of counts would take without a word."""
    values = np.random.default_rng(0).integers(5000, 9000, (IMAGE['height'], IMAGE['width'])).astype(np.uint16)
    cv2.imwrite(str(tmp_path / 'a.png'), (values / 256).astype(np.uint8))
    cv2.imwrite(str(tmp_path / 'a16.png'), values)
    (crop,) = uncut_crops({**IMAGE, 'counts_file': 'a16.png'}, [target(100, 50, 20, 20, id=1)], (80, 60), 100, 2)
    write_crops([crop], CATEGORIES, tmp_path, tmp_path / 'out', 'counts_file')
    x1, y1, x2, y2 = crop.window
    cut = cv2.imread(str(tmp_path / 'out' / 'images' / '001.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(cut, values[y1:y2, x1:x2])


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    (crop,) = uncut_crops(IMAGE, [target(100, 50, 20, 20, id=1)], (80, 60), 100, 2)
    with pytest.raises(FileNotFoundError, match=r'image not found: .*a\.png'):
        write_crops([crop], CATEGORIES, tmp_path, tmp_path / 'out')
    (tmp_path / 'a.png').write_bytes(b'no picture')
    with pytest.raises(ValueError, match=r'cannot read image .*a\.png'):
        write_crops([crop], CATEGORIES, tmp_path, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_crops_are_cut_from_the_page_as_training_loads_it(tmp_path: Path) -> None:
    pages = np.random.default_rng(0).integers(0, 2**14, (2, IMAGE['height'], IMAGE['width'])).astype(np.float32)
    np.save(tmp_path / 'a.png', pages)
    (tmp_path / 'a.png.npy').rename(tmp_path / 'a.png')
    (crop,) = uncut_crops({**IMAGE, 'page': 1}, [target(100, 50, 20, 20, id=1)], (80, 60), 100, 2)
    write_crops([crop], CATEGORIES, tmp_path, tmp_path / 'out')
    x1, y1, x2, y2 = crop.window
    np.testing.assert_array_equal(np.load(tmp_path / 'out' / 'images' / '001.npy'), pages[1, y1:y2, x1:x2])
