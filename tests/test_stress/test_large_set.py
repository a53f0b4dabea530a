"""Large data sets, in small: what is written, what stays in memory, and that the short ways give the same results."""

import gc
import json
from pathlib import Path

from mmdet_ir.datasets.validation import near_duplicates
from mmdet_ir.datasets.validation.annotations import Needs, check_everything
from mmdet_ir.evaluation.ir_coco_metric import coco_results
from mmdet_ir.fileio import collector_paused, read_json
from mmdet_ir.stress.large_set import detections, read_extent, write_large_set
from mmdet_ir.stress.large_set_cost import OURS, PLAIN, build_data_set, build_metric, measure_evaluation

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from pycocotools import mask as mask_utils

IMAGES, PER_IMAGE, SIZE = 7, 5, (160, 128)


@pytest.fixture(autouse=True)
def mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('large') / 'set'
    write_large_set(out, IMAGES, PER_IMAGE, SIZE)
    return out


def test_what_is_written_is_sound(folder: Path) -> None:
    coco = read_json(folder / 'annotations' / 'train.json')
    problems = check_everything(coco, Needs(masks=True, folder=folder / 'images'))[0]
    assert [problem.text for problem in problems if problem.severity != 'note'] == []
    assert read_extent(folder) == (IMAGES, PER_IMAGE, SIZE)
    assert len(coco['images']) == IMAGES
    assert [a['image_id'] for a in coco['annotations']] == [i for i in range(1, 8) for _ in range(PER_IMAGE)]
    kinds = [type(a['segmentation']) for a in coco['annotations']]
    assert kinds[:4] == [list, dict, list, dict]
    for annotation in coco['annotations']:
        shape = annotation['segmentation']
        rle = shape if isinstance(shape, dict) else mask_utils.frPyObjects(shape, SIZE[1], SIZE[0])[0]
        assert mask_utils.decode(rle).sum() == annotation['area'] > 20


def test_no_entry_of_the_file_stays_an_object(folder: Path) -> None:
    """Loader workers share one array; objects would be copied into each of them, page by page, as they are counted."""
    before = entries_in_memory()
    data_set = build_data_set(folder, OURS)
    assert data_set.data_list == []
    assert data_set.data_bytes.dtype == np.uint8
    known = {id(entry) for entry in before}
    assert [entry for entry in entries_in_memory() if id(entry) not in known] == []


def entries_in_memory() -> list[dict]:
    """Annotations as in the file, and as MMDetection parses them."""
    gc.collect()
    found = [o for o in gc.get_objects() if type(o) is dict]
    return [o for o in found if {'segmentation', 'image_id'} <= o.keys() or {'bbox_label', 'mask'} <= o.keys()]


def test_the_array_holds_what_the_file_says(folder: Path) -> None:
    data_set = build_data_set(folder, OURS)
    coco = json.loads((folder / 'annotations' / 'train.json').read_text())
    for index, image in enumerate(coco['images']):
        info = data_set.get_data_info(index)
        assert Path(info['img_path']) == folder / 'images' / image['file_name']
        wanted = [a for a in coco['annotations'] if a['image_id'] == image['id']]
        assert [instance['mask'] for instance in info['instances']] == [a['segmentation'] for a in wanted]
        assert [instance['bbox_label'] for instance in info['instances']] == [a['category_id'] - 1 for a in wanted]
        for instance, annotation in zip(info['instances'], wanted, strict=True):
            x, y, w, h = annotation['bbox']
            assert instance['bbox'] == [x, y, x + w, y + h]


def predictions(folder: Path) -> list[dict]:
    metric = build_metric(folder, OURS)
    for samples in detections(IMAGES, PER_IMAGE, SIZE, seed=0, batch=3):
        metric.process({}, samples)
    return [prediction for _, prediction in metric.results]


@pytest.mark.parametrize('metric', ['bbox', 'segm'])
def test_results_are_those_of_mmdetections_files(folder: Path, tmp_path: Path, metric: str) -> None:
    plain = build_metric(folder, PLAIN)
    plain.cat_ids = [4, 3, 2, 1]
    found = predictions(folder)
    found[2]['mask_scores'] = found[2]['scores'] / 3
    files = plain.results2json(predictions(folder)[:2] + [found[2]] + predictions(folder)[3:], str(tmp_path / 'found'))
    assert coco_results(found, plain.cat_ids, metric) == json.loads(Path(files[metric]).read_text())
    assert len(coco_results(found, plain.cat_ids, metric)) == IMAGES * PER_IMAGE


def test_scores_are_those_of_mmdetection(folder: Path) -> None:
    ours, plain = (measure_evaluation(folder, who) for who in (OURS, PLAIN))
    for key in ('coco/segm_mAP', 'coco/bbox_mAP', 'coco/segm_mAP_50'):
        assert ours[key] == pytest.approx(plain[key], abs=5e-4)  # it rounds to three decimals
        assert 0.1 < ours[key] < 0.95


def test_the_collector_goes_on_as_it_was() -> None:
    assert gc.isenabled()
    with pytest.raises(KeyError), collector_paused():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_numbers_below_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='images: expected a number from 1 on, got 0'):
        write_large_set(tmp_path / 'none', 0, 5)
    assert not (tmp_path / 'none').exists()


@pytest.mark.parametrize('many', [0.0, 1.0])
def test_frames_of_a_camera_that_does_not_move(monkeypatch: pytest.MonkeyPatch, many: float) -> None:
    """Nearly all pairs are near-duplicates; correlations one by one or all at once, the best one is found."""
    monkeypatch.setattr(near_duplicates, '_BLOCK', 16)
    monkeypatch.setattr(near_duplicates, '_MANY', many)
    rng = np.random.default_rng(0)
    scenes = 200 * rng.random((2, 8, 8)).repeat(16, axis=1).repeat(16, axis=2)
    frames = [near_duplicates.thumbnail(scenes[i % 2] + rng.normal(0, 20, (128, 128))) for i in range(40)]
    position, similar = near_duplicates.nearest(np.array(frames), np.array(frames), earlier_only=True)
    assert position[:2].tolist() == [-1, -1]
    for i in range(2, 40):
        wanted = [np.corrcoef(frames[i].ravel(), frames[j].ravel())[0, 1] for j in range(i)]
        assert wanted[position[i]] >= max(wanted) - 1e-3
        assert similar[i] == pytest.approx(max(wanted), abs=2e-3)  # thumbnails have 16 bits
