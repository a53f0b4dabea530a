import contextlib
import importlib.util
import io
import json

from mmdet_ir.evaluation.detections import read_detections
from mmdet_ir.evaluation.errors.error_breakdown import KINDS, average_precision, break_down, find_mistakes
from mmdet_ir.evaluation.errors.matching import match_image

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SIZE = (100, 200)


def rle(x, y, w, h, as_text=True):
    mask = np.zeros(SIZE, np.uint8, order='F')
    mask[y : y + h, x : x + w] = 1
    encoded = mask_utils.encode(mask)
    return {**encoded, 'counts': encoded['counts'].decode()} if as_text else encoded


def target(number, category, box, image=1, **fields):
    return {
        'id': number,
        'image_id': image,
        'category_id': category,
        'segmentation': rle(*box),
        'iscrowd': 0,
        'bbox': list(box),
        'area': box[2] * box[3],
        **fields,
    }


def detection(category, box, score, image=1):
    return {'image_id': image, 'category_id': category, 'segmentation': rle(*box), 'score': score}


def coco_of(targets, images=1, categories=('human', 'car')):
    return {
        'images': [{'id': i, 'file_name': f'{i}.png', 'height': 100, 'width': 200} for i in range(1, images + 1)],
        'annotations': targets,
        'categories': [{'id': i, 'name': name} for i, name in enumerate(categories, start=1)],
    }


def test_classes_named_as_sizes_are_refused():
    with pytest.raises(ValueError, match=r"expected other names than those of sizes, .*, got \['small'\]"):
        break_down(coco_of([target(1, 1, (0, 10, 20, 10))], categories=('small', 'car')), [])


# Five targets of 20x10 pixels in a row; the fourth and fifth are cars. A shift by 8 of 20 columns gives an IoU of
# 12 / 28, by 16 one of 4 / 36.
TARGETS = [target(i + 1, 1 if i < 3 else 2, (40 * i, 10, 20, 10)) for i in range(5)]
DETECTIONS = {
    'found': detection(1, (0, 10, 20, 10), 0.9),
    'Dupe': detection(1, (0, 10, 20, 10), 0.8),
    'Loc': detection(1, (48, 10, 20, 10), 0.7),
    'Loc, second best': detection(1, (56, 10, 20, 10), 0.5),
    'Cls': detection(2, (80, 10, 20, 10), 0.6),
    'Both': detection(1, (128, 10, 20, 10), 0.4),
    'Bkg': detection(1, (100, 60, 40, 30), 0.3),
}


def test_each_kind_occurs_as_often_as_it_was_made():
    found = break_down(coco_of(TARGETS), list(DETECTIONS.values()))
    expected = {'Cls': 1, 'Loc': 2, 'Both': 1, 'Dupe': 1, 'Bkg': 1, 'Miss': 2}  # both cars are missed
    assert {kind: found.counts[kind]['all'] for kind in KINDS} == expected
    # by the class predicted, of missed targets by their own; the background detection has 1200 pixels, all else 200
    assert {kind: found.counts[kind]['car'] for kind in KINDS} == {**dict.fromkeys(KINDS, 0), 'Cls': 1, 'Miss': 2}
    assert {kind: found.counts[kind]['medium'] for kind in KINDS} == {**dict.fromkeys(KINDS, 0), 'Bkg': 1}
    assert found.confusions == {('human', 'car'): 1}
    assert found.targets == {'all': 5, 'human': 3, 'car': 2, 'small': 5, 'medium': 0, 'large': 0}


def test_which_detection_is_corrected_and_what_the_iou_is():
    match = match_image(list(DETECTIONS.values()), TARGETS, SIZE)
    by_score = {mistake.detection['score']: mistake for mistake in find_mistakes(match) if mistake.detection}
    assert {score for score, mistake in by_score.items() if mistake.corrects} == {0.7, 0.6}
    assert by_score[0.7].iou == pytest.approx(12 / 28) and by_score[0.5].iou == pytest.approx(4 / 36)
    assert by_score[0.4].target['id'] == 4 and by_score[0.3].target is None


def test_gains_by_hand():
    """Human, by falling score: right, Dupe, Loc, Loc, Both, Bkg. One of three is found: precision 1 up to recall 1/3.

    That is 34 of 101 levels (0.00 to 0.33). Corrected, Loc gives a second one: after Dupe, at precision 2/3, and the
    other Loc vanishes: 34 levels of 1 and 33 (up to 0.66) of 2/3.
    """
    found = break_down(coco_of(TARGETS), list(DETECTIONS.values()))
    human = 34 / 101
    assert found.ap == {'all': pytest.approx(human / 2), 'human': pytest.approx(human), 'car': 0}
    loc = (34 + 33 * 2 / 3) / 101 - human
    assert found.gains['Loc']['human'] == pytest.approx(loc)
    assert found.gains['Loc']['all'] == pytest.approx(loc / 2)
    assert found.gains['Loc']['small'] == pytest.approx(loc / 2)
    # right, Dupe, Loc, Cls corrected: precision 2/4 at recall 2/3
    assert found.gains['Cls']['human'] == pytest.approx((34 + 33 / 2) / 101 - human)
    # no car is found, so without the missed ones nothing is left; the Cls detection is still a wrong car
    assert found.gains['Miss']['car'] == 0
    for kind in ('Dupe', 'Both', 'Bkg'):  # behind the only hit, nothing changes
        assert found.gains[kind]['all'] == 0
    # without missed humans (none) and any false positive the one hit still reaches a third only
    assert found.gains['FalsePos']['human'] == 0
    assert found.gains['FalseNeg']['human'] == pytest.approx(1 - human)


def test_background_before_a_hit_costs_precision_and_its_size_is_its_own():
    detections = [detection(1, (100, 60, 40, 30), 0.9), detection(1, (0, 10, 20, 10), 0.8)]
    found = break_down(coco_of(TARGETS[:1], categories=('human',)), detections)
    assert found.ap['all'] == pytest.approx(1 / 2)
    expected = {'all': 0.5, 'human': 0.5, 'small': 0, 'medium': 0.5, 'large': 0}
    assert found.gains['Bkg'] == pytest.approx(expected)
    assert found.gains['FalsePos']['all'] == pytest.approx(0.5)


def test_nothing_detected_is_all_missed_and_classes_without_targets_do_not_count():
    found = break_down(coco_of(TARGETS[:2]), [])
    assert found.ap['all'] == 0 and np.isnan(found.ap['car'])
    assert found.counts['Miss']['all'] == 2 and found.gains['Miss']['all'] == 1
    assert found.rows == ['all', 'human', 'small'] and found.as_json()['AP']['car'] is None
    json.dumps(found.as_json(), allow_nan=False)


def test_detections_in_an_ignored_region_of_their_class_are_no_mistakes():
    targets = [TARGETS[0], target(9, 1, (100, 50, 60, 40), iscrowd=1)]
    inside = (110, 60, 20, 10)
    found = break_down(coco_of(targets), [detection(1, inside, 0.9), detection(1, inside, 0.8)])
    assert found.counts['Bkg']['all'] == 0 and found.targets['all'] == 1
    other = break_down(coco_of(targets), [detection(2, inside, 0.9)])
    assert other.counts['Bkg']['all'] == 1


def random_case(seed, images=12):
    """Crowded scenes with all kinds of errors and ignored regions."""
    rng = np.random.default_rng(seed)
    targets, detections = [], []
    for image in range(1, images + 1):
        for _ in range(rng.integers(0, 7)):
            w, h = rng.integers(8, 45, 2).tolist()
            x, y = int(rng.integers(0, 150)), int(rng.integers(0, 50))
            crowd = int(rng.random() < 0.1)
            targets.append(target(len(targets) + 1, int(rng.integers(1, 3)), (x, y, w, h), image, iscrowd=crowd))
            for _ in range(rng.integers(0, 4)):
                dx, dy = rng.integers(-6, 7, 2).tolist()
                box = (max(x + dx, 0), max(y + dy, 0), w, h)
                category = targets[-1]['category_id'] if rng.random() < 0.8 else int(rng.integers(1, 3))
                detections.append(detection(category, box, float(rng.random()), image))
        detections.append(detection(1, (*rng.integers(0, 60, 2).tolist(), 9, 9), float(rng.random()), image))
    return coco_of(targets, images), detections


@pytest.mark.parametrize('digits', [1, None])
@pytest.mark.parametrize('seed', range(3))
def test_matches_and_ap_are_those_of_cocoeval(seed, digits):
    """Of detections with one score, those of the image before count before."""
    coco, detections = random_case(seed)
    if digits is not None:
        detections = [{**d, 'score': round(d['score'], digits)} for d in detections]
    truth = COCO()
    truth.dataset = json.loads(json.dumps(coco))
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([dict(d) for d in detections]), 'segm')
        evaluation.evaluate()
        evaluation.accumulate()
    found = break_down(coco, detections)
    for k, name in enumerate(('human', 'car')):
        assert found.ap[name] == pytest.approx(evaluation.eval['precision'][0, :, k, 0, -1].mean(), abs=1e-12)
    for image in evaluation.evalImgs[: 2 * len(coco['images'])]:  # of the first range: all sizes
        if image is None or image['aRng'][1] < 1e9:
            continue
        own = [d for d in detections if d['image_id'] == image['image_id']]
        match = match_image(own, [a for a in coco['annotations'] if a['image_id'] == image['image_id']], SIZE)
        pick = [i for i, d in enumerate(match.detections) if d['category_id'] == image['category_id']]
        ids = [match.targets[j]['id'] if j >= 0 else 0 for j in match.matched[pick]]
        ignored = image['dtIgnore'][0]
        np.testing.assert_array_equal(ids, np.where(ignored, 0, image['dtMatches'][0]))
        np.testing.assert_array_equal(match.ignored[pick], ignored)


@pytest.mark.skipif(importlib.util.find_spec('tidecv') is None, reason='tidecv is not installed')
@pytest.mark.parametrize('seed', range(3))
def test_counts_and_gains_are_those_of_tidecv(seed, tmp_path, monkeypatch):
    from tidecv import datasets
    from tidecv.quantify import TIDERun

    coco, detections = random_case(seed)
    coco['annotations'] = [a for a in coco['annotations'] if not a['iscrowd']]  # tidecv counts what lies in them
    (tmp_path / 'ann.json').write_text(json.dumps(coco))
    (tmp_path / 'det.json').write_text(json.dumps(detections))
    truth, result = datasets.COCO(str(tmp_path / 'ann.json')), datasets.COCOResult(str(tmp_path / 'det.json'))
    # its levels of recall differ from COCO's in the last bit, which moves a level where recall is a round number
    monkeypatch.setattr('mmdet_ir.evaluation.errors.error_breakdown._RECALLS', np.arange(101) / 100)
    reference = TIDERun(truth, result, 0.5, 0.1, 'mask', 100)
    found = break_down(coco, detections)
    assert found.ap['all'] == pytest.approx(reference.ap / 100)
    for error, gain in reference.fix_main_errors().items():
        assert found.counts[error.short_name]['all'] == len(reference.error_dict[error]), error.short_name
        assert found.gains[error.short_name]['all'] == pytest.approx(gain / 100, abs=1e-9), error.short_name
    for error, gain in reference.fix_special_errors().items():
        assert found.gains[error.short_name]['all'] == pytest.approx(gain / 100, abs=1e-9), error.short_name


def test_a_mistake_of_the_same_score_in_an_image_before_counts():
    coco = coco_of([target(1, 1, (40, 10, 20, 10), image=2)], images=2)
    detections = [detection(1, (0, 10, 20, 10), 1.0, image=1), detection(1, (40, 10, 20, 10), 1.0, image=2)]
    found = break_down(coco, detections)
    assert found.ap['human'] == pytest.approx(0.5) and found.gains['Bkg']['human'] == pytest.approx(0.5)
    assert break_down(coco, detections[::-1]).ap == found.ap  # the order in the file does not matter


def test_average_precision_by_hand():
    assert average_precision([0.9, 0.8, 0.7], [True, False, True], 2) == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert average_precision([], [], 3) == 0
    assert (average_precision([], [], 0), average_precision([0.1], [False], 0)) == (1, 0)


def test_thresholds_are_checked():
    with pytest.raises(ValueError, match=r'expected 0 < background IoU < IoU threshold <= 1, got 0.6 and 0.5'):
        break_down(coco_of(TARGETS), [], 0.5, 0.6)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'image_id': 7}, r'1 detections are of images that the annotation file does not have; image ids: 7'),
        ({'category_id': 3}, r'have categories that the annotation file does not have; category ids: 3'),
        ({'score': float('nan')}, r'score that is no finite number; positions in the list: 1'),
        ({'segmentation': None}, r'lack an RLE mask of the height and width of their image; positions: 1'),
        ({'segmentation': {'size': [9, 9], 'counts': ''}}, r'lack an RLE mask .* positions: 1'),
    ],
)
def test_unsound_detections_name_file_and_entry(tmp_path, change, message):
    path = tmp_path / 'found.segm.json'
    entries = [detection(1, (0, 0, 5, 5), 0.5), {**detection(1, (0, 0, 5, 5), 0.5), **change}]
    path.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=r'found\.segm\.json: .*' + message):
        read_detections(path, coco_of(TARGETS))


def test_detections_without_masks_or_of_another_format(tmp_path):
    path = tmp_path / 'found.bbox.json'
    with pytest.raises(FileNotFoundError, match=r'detections not found: .*found\.bbox\.json'):
        read_detections(path, coco_of(TARGETS))
    path.write_text(json.dumps([{'image_id': 1, 'category_id': 1, 'bbox': [0, 0, 1, 1], 'score': 0.5}]))
    with pytest.raises(ValueError, match=r'1 detections lack "segmentation" \(boxes only\?'):
        read_detections(path, coco_of(TARGETS))
    path.write_text(json.dumps(coco_of([])))
    with pytest.raises(ValueError, match='expected a list of detections'):
        read_detections(path, coco_of(TARGETS))
