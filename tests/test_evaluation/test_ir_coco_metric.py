import functools
import json
import math
from collections import OrderedDict
from pathlib import Path

from mmdet_ir.datasets.ir_dataset import IRDataset
from mmdet_ir.evaluation import COLUMNS, IRCocoMetric
from mmdet_ir.evaluation.ir_coco_metric import render, separate_files

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

HUMAN, CAR, BICYCLE, UAV = range(4)
SIZE = 128
approx = functools.partial(pytest.approx, rel=0, abs=1e-12)  # pycocotools adds machine epsilon to its denominators
PAPER_COLUMNS = ('mAP', 'Recall', 'mAP50', 'mAP75', 'mAPs', 'mAPm', 'mAPl')


@pytest.fixture(autouse=True)
def _own_logger_and_hub(monkeypatch):
    """The default place of the JSON file depends on mmengine's current logger and message hub."""
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())
    monkeypatch.setattr(MessageHub, '_instance_dict', OrderedDict())


def rectangle(x, y, w, h):
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[y : y + h, x : x + w] = True
    return mask


def box_of(mask):
    """xyxy, pixels."""
    ys, xs = np.nonzero(mask)
    return [float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)]


def write_ground_truth(path, images, classes=IRDataset.METAINFO['classes']):
    """``images``: for each image a list of (label, mask) or (label, mask, iscrowd)."""
    annotations = []
    for image_id, targets in enumerate(images, start=1):
        for label, mask, *iscrowd in targets:
            x1, y1, x2, y2 = box_of(mask)
            rle = mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': image_id,
                    'category_id': label + 1,
                    'bbox': [x1, y1, x2 - x1, y2 - y1],
                    'area': int(mask.sum()),
                    'iscrowd': iscrowd[0] if iscrowd else 0,
                    'segmentation': {'size': [SIZE, SIZE], 'counts': rle['counts'].decode()},
                }
            )
    content = {
        'images': [
            {'id': i, 'width': SIZE, 'height': SIZE, 'file_name': f'{i}.png'} for i in range(1, len(images) + 1)
        ],
        'annotations': annotations,
        'categories': [{'id': i, 'name': name} for i, name in enumerate(classes, start=1)],
    }
    path.write_text(json.dumps(content))
    return str(path)


def prediction(image_id, detections, boxes=None):
    """One tested image; ``detections``: list of (label, mask, score)."""
    masks = np.stack([mask for _, mask, _ in detections]) if detections else np.zeros((0, SIZE, SIZE), dtype=bool)
    boxes = [box_of(mask) for mask in masks] if boxes is None else boxes
    instances = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([label for label, _, _ in detections], dtype=torch.long),
        scores=torch.tensor([score for _, _, score in detections], dtype=torch.float32),
        masks=torch.from_numpy(masks),
    )
    return {'img_id': image_id, 'ori_shape': (SIZE, SIZE), 'pred_instances': instances}


def evaluate(ann_file, predictions, **options):
    metric = IRCocoMetric(ann_file, **options)
    metric.dataset_meta = IRDataset.METAINFO
    metric.process({}, predictions)
    return metric.evaluate(len(predictions))


def test_a_target_found_exactly_scores_one(tmp_path):
    mask = rectangle(10, 20, 40, 30)
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(CAR, mask)]])
    scores = evaluate(ann_file, [prediction(1, [(CAR, mask, 0.9)])])
    for kind in ('segm', 'bbox'):
        for key in ('mAP', 'Recall', 'mAP_50', 'mAP_75', 'mAP_m', 'mAP/car'):  # 1,200 pixels: medium
            assert scores[f'coco/{kind}_{key}'] == approx(1.0)
        for key in ('mAP_s', 'mAP_l', 'mAP/human', 'mAP/bicycle', 'mAP/uav'):
            assert math.isnan(scores[f'coco/{kind}_{key}'])


@pytest.mark.parametrize('backend', ['faster-coco-eval', 'pycocotools'])
def test_more_targets_than_count_are_told_of_and_counted_on_demand(tmp_path, backend, capsys):
    """150 targets, all found: 100 of them count unless more are asked for."""
    masks = [rectangle(8 * (k % 15), 8 * (k // 15), 5, 5) for k in range(150)]
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(CAR, mask) for mask in masks]])

    def scores(**options):
        found = prediction(1, [(CAR, mask, 1 - k / 1000) for k, mask in enumerate(masks)])
        return evaluate(ann_file, [found], backend=backend, out_json=str(tmp_path / 'out.json'), **options)

    for kind in ('segm', 'bbox'):
        assert scores()[f'coco/{kind}_Recall'] == approx(100 / 150)
    text = capsys.readouterr().out
    assert 'only the best 100 detections of each class count' in text and 'test_evaluator.max_dets=300' in text
    assert 'max_dets' not in json.loads((tmp_path / 'out.json').read_text())
    more = scores(max_dets=150, extra=['size'])
    for key in ('segm_Recall', 'bbox_Recall', 'segm_mAP', 'bbox_mAP', 'segm_mAP_s', 'segm_size_0-8_mAP'):
        assert more[f'coco/{key}'] == approx(1.0)
    assert 'only the best' not in capsys.readouterr().out
    assert json.loads((tmp_path / 'out.json').read_text())['max_dets'] == 150
    with pytest.raises(ValueError, match='max_dets: expected a whole number from 11 on, got 5'):
        scores(max_dets=5)


def test_detections_in_a_set_without_ground_truth_are_written(tmp_path):
    content = {
        'images': [{'id': 7, 'width': SIZE, 'height': SIZE, 'file_name': '7.png'}],
        'categories': [{'id': i, 'name': name} for i, name in enumerate(IRDataset.METAINFO['classes'], start=1)],
    }
    ann_file = tmp_path / 'unlabelled.json'
    ann_file.write_text(json.dumps(content))
    (tmp_path / '7.png').touch()
    with_masks = [{'type': 'mmdet.LoadAnnotations', 'with_bbox': True, 'with_mask': True}]
    for pipeline in ([], with_masks):
        dataset = IRDataset(
            ann_file=str(ann_file), data_prefix={'img': f'{tmp_path}/'}, pipeline=pipeline, test_mode=True
        )
        assert [info['img_id'] for info in dataset.load_data_list()] == [7]
        with pytest.raises(ValueError, match='expected "annotations".*test_evaluator.format_only=True'):
            IRCocoMetric(str(ann_file))
    prefix = tmp_path / 'found'
    found = prediction(7, [(CAR, rectangle(10, 20, 40, 30), 0.9)])
    assert evaluate(str(ann_file), [found], format_only=True, outfile_prefix=str(prefix)) == {}
    (entry,) = json.loads((tmp_path / 'found.segm.json').read_text())
    assert (entry['image_id'], entry['category_id'], entry['bbox']) == (7, 2, [10, 20, 40, 30])
    with pytest.raises(ValueError, match='expected a list "annotations"'):  # a training needs targets
        IRDataset(ann_file=str(ann_file), data_prefix={'img': f'{tmp_path}/'}, pipeline=[])


def test_one_of_two_targets_found(tmp_path):
    found, missed = rectangle(10, 20, 40, 30), rectangle(70, 70, 20, 20)
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(CAR, found), (CAR, missed)]])
    scores = evaluate(ann_file, [prediction(1, [(CAR, found, 0.9)])])
    # precision is 1 at the recall levels 0, .01, ..., .50 and 0 at the other 50 of COCO's 101 levels
    assert scores['coco/segm_mAP'] == approx(51 / 101)
    assert scores['coco/segm_Recall'] == approx(0.5)
    assert scores['coco/segm_mAP_s'] == 0.0  # the missed one has 400 pixels
    assert scores['coco/segm_mAP_m'] == approx(1.0)


@pytest.mark.parametrize(('duplicate_score', 'expected'), [(0.5, 1.0), (0.95, 0.5)])
def test_a_duplicate_costs_precision_only_if_it_ranks_before_the_match(tmp_path, duplicate_score, expected):
    target, elsewhere = rectangle(10, 20, 40, 30), rectangle(80, 80, 30, 30)
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(HUMAN, target)]])
    detections = [(HUMAN, target, 0.9), (HUMAN, elsewhere, duplicate_score)]
    scores = evaluate(ann_file, [prediction(1, detections)])
    # false alarm first: precision 0/1, then 1/2 at full recall
    assert scores['coco/segm_mAP'] == approx(expected)
    assert scores['coco/segm_Recall'] == approx(1.0)


def test_masks_and_boxes_are_scored_on_their_own(tmp_path):
    target, shifted = rectangle(10, 20, 20, 10), rectangle(14, 20, 20, 10)
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(UAV, target)]])
    scores = evaluate(ann_file, [prediction(1, [(UAV, shifted, 0.9)], boxes=[box_of(target)])])
    # mask IoU = 160 / 240 = 0.667 passes 4 of the 10 thresholds (.50 .55 .60 .65)
    assert scores['coco/segm_mAP'] == approx(0.4)
    assert scores['coco/segm_Recall'] == approx(0.4)
    assert scores['coco/segm_mAP_50'] == approx(1.0)
    assert scores['coco/segm_mAP_75'] == 0.0
    assert scores['coco/bbox_mAP'] == approx(1.0)


def test_size_is_taken_from_the_mask(tmp_path):
    """A thin diagonal: its mask is small although its box is large; a false alarm of that kind counts as small."""
    diagonal = np.eye(SIZE, dtype=bool)
    target = rectangle(0, 0, 100, 100)
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(HUMAN, target)]])
    scores = evaluate(ann_file, [prediction(1, [(HUMAN, diagonal, 0.9), (HUMAN, target, 0.5)])])
    assert scores['coco/segm_mAP_l'] == approx(1.0)
    assert scores['coco/segm_mAP'] == approx(0.5)


def random_case(seed, num_images=8):
    """Scenes with hits of varied quality, false alarms, wrong classes, crowds and empty images."""
    rng = np.random.default_rng(seed)
    images, predictions = [], []
    for image_id in range(1, num_images + 1):
        targets, detections = [], []
        for _ in range(rng.integers(0, 6)):
            w, h = rng.integers(4, 110, size=2)
            x, y = rng.integers(0, SIZE - w), rng.integers(0, SIZE - h)
            label = int(rng.integers(0, 4))
            targets.append((label, rectangle(x, y, w, h), int(rng.random() < 0.1)))
            for _ in range(rng.integers(0, 3)):
                dx, dy = rng.integers(-3, 4, size=2)
                mask = rectangle(max(0, x + dx), max(0, y + dy), w, h)
                found = label if rng.random() < 0.8 else int(rng.integers(0, 4))
                detections.append((found, mask, float(rng.random())))
        if rng.random() < 0.5:
            detections.append((int(rng.integers(0, 4)), rectangle(5, 5, 30, 9), float(rng.random())))
        images.append(targets)
        predictions.append(prediction(image_id, detections))
    return images, predictions


def coco_stats(ann_file, predictions, kind):
    """The twelve numbers of pycocotools' own evaluation of the same detections."""
    entries = []
    for sample in predictions:
        instances = sample['pred_instances']
        for box, label, score, mask in zip(
            instances.bboxes.tolist(),
            instances.labels.tolist(),
            instances.scores.tolist(),
            instances.masks,
            strict=True,
        ):
            entry = {'image_id': sample['img_id'], 'category_id': label + 1, 'score': score}
            if kind == 'segm':
                entry['segmentation'] = mask_utils.encode(np.asfortranarray(mask.numpy(), dtype=np.uint8))
            else:
                entry['bbox'] = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            entries.append(entry)
    ground_truth = COCO(ann_file)
    evaluation = COCOeval(ground_truth, ground_truth.loadRes(entries), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize('seed', [0, 1])
@pytest.mark.parametrize('kind', ['segm', 'bbox'])
def test_all_twelve_numbers_equal_pycocotools(tmp_path, kind, seed):
    images, predictions = random_case(seed)
    ann_file = write_ground_truth(tmp_path / 'gt.json', images)
    expected = coco_stats(ann_file, predictions, kind)
    scores = evaluate(ann_file, predictions, out_json=str(tmp_path / 'metrics.json'))
    saved = json.loads((tmp_path / 'metrics.json').read_text())['metrics'][kind]
    columns = ['mAP', 'mAP50', 'mAP75', 'mAPs', 'mAPm', 'mAPl', 'AR@1', 'AR@10', 'Recall', 'ARs', 'ARm', 'ARl']
    assert [saved['all'][column] for column in columns] == [None if x == -1 else approx(x) for x in expected]
    assert 0.05 < expected[0] < 0.95  # a case that says something
    for column, key in COLUMNS.items():
        value = scores[f'coco/{kind}_{key}']
        assert (None if math.isnan(value) else value) == saved['all'][column]
    # over classes, COCO's mean over all is the mean of the classes' means
    per_class = [saved[name]['mAP'] for name in IRDataset.METAINFO['classes']]
    assert np.mean(per_class) == approx(expected[0])
    assert scores[f'coco/{kind}_mAP/bicycle'] == saved['bicycle']['mAP']
    counts = [sum(label == k and not crowd for image in images for label, _, crowd in image) for k in range(4)]
    assert [saved[name]['targets'] for name in IRDataset.METAINFO['classes']] == counts
    assert saved['all']['targets'] == sum(counts)


def test_no_detection_at_all_scores_zero(tmp_path):
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(CAR, rectangle(10, 20, 40, 30))], []])
    scores = evaluate(ann_file, [prediction(1, []), prediction(2, [])])
    for kind in ('segm', 'bbox'):
        for key in ('mAP', 'Recall', 'mAP_50', 'mAP_75', 'mAP_m', 'mAP/car'):
            assert scores[f'coco/{kind}_{key}'] == 0.0


def test_only_tested_images_count(tmp_path):
    mask = rectangle(10, 20, 40, 30)
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(CAR, mask)], [(CAR, mask), (UAV, mask)]])
    scores = evaluate(ann_file, [prediction(1, [(CAR, mask, 0.9)])], metric='segm')
    assert [scores['coco/segm_mAP'], scores['coco/segm_Recall']] == approx([1.0, 1.0])
    assert 'coco/bbox_mAP' not in scores


def test_repeats_of_an_image_count_once(tmp_path, capsys):
    """A second time, its detections would be wrong ones: at a score of 0.9 each, precision would fall to one half."""
    masks = [rectangle(10, 20, 40, 30), rectangle(5, 5, 20, 30)]
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(CAR, mask)] for mask in masks])
    options = {'out_json': str(tmp_path / 'out.json'), 'outfile_prefix': str(tmp_path / 'found')}
    for paths in (
        ('a.png', 'b.png', 'a.png', 'b.png'),
        ('a.png', 'b.png', './a.png', f'{Path.cwd()}/b.png'),
        (None,) * 4,
    ):
        found = [prediction(i, [(CAR, masks[i - 1], 0.9)]) for i in (1, 2, 1, 2)]
        found = [one | {'img_path': path} for one, path in zip(found, paths, strict=True)]
        scores = evaluate(ann_file, found, **options)
        for kind in ('segm', 'bbox'):
            assert scores[f'coco/{kind}_mAP'] == scores[f'coco/{kind}_mAP_75'] == approx(1.0)
        assert json.loads((tmp_path / 'out.json').read_text())['images'] == 2
        assert len(json.loads((tmp_path / 'found.segm.json').read_text())) == 2
    assert '4 tested images are 2 different ones: each counts once' in capsys.readouterr().out


def test_two_images_with_one_id_are_an_error(tmp_path):
    mask = rectangle(10, 20, 40, 30)
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(CAR, mask)]])
    for paths, score in ((('a/1.png', 'b/1.png'), 0.9), ((None, None), 0.8)):
        found = [prediction(1, [(CAR, mask, s)]) | {'img_path': p} for s, p in zip((0.9, score), paths, strict=True)]
        with pytest.raises(
            ValueError, match=f'one image for each id, got two with the id 1: {paths[0]} and {paths[1]};'
        ):
            evaluate(ann_file, found)


def test_table_and_json_of_absent_sizes(tmp_path):
    mask = rectangle(10, 20, 40, 30)
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(CAR, mask)]])
    log_file = tmp_path / 'run' / 'run.log'
    log_file.parent.mkdir()
    MMLogger.get_instance('metric-test', log_file=str(log_file))
    evaluate(ann_file, [prediction(1, [(CAR, mask, 0.9)])])

    saved = json.loads((log_file.parent / 'metrics_test.json').read_text())
    assert saved['images'] == 1
    assert saved['iteration'] is None
    row = saved['metrics']['segm']['all']
    assert row['mAP'] == approx(1.0) and row['mAPs'] is None and row['targets'] == 1
    assert not list(log_file.parent.glob('.*'))  # nothing temporary left

    rows = [line.strip('|').split('|') for line in log_file.read_text().splitlines() if line.startswith('|')]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert cells[0] == ['', 'targets', *PAPER_COLUMNS]
    assert cells[1] == ['masks, all', '1', '100.000', '1.000', '100.000', '100.000', '-', '100.000', '-']
    assert cells[2] == ['masks, human', '0', *'-------']
    assert cells[6][0] == 'boxes, all'


def test_several_metrics_have_files_of_their_own(tmp_path, capsys):
    """The car is found, the bicycle is not: 1 and 0 in the files of two annotation files, and half in that of both."""
    car, bicycle = (CAR, rectangle(10, 20, 40, 30)), (BICYCLE, rectangle(60, 60, 30, 30))
    metrics = []
    for name, targets, options in (
        ('both', [car, bicycle], {}),
        ('car', [car], {'prefix': 'cars/only'}),
        ('bicycle', [bicycle], {'prefix': 'cars/only', 'metric': 'segm'}),
        ('apart', [car], {'out_json': str(tmp_path / 'apart.json')}),
    ):
        ann_file = write_ground_truth(tmp_path / f'{name}.json', [targets])
        settings = {'out_json': str(tmp_path / 'out.json'), 'outfile_prefix': str(tmp_path / 'found'), **options}
        metrics.append(IRCocoMetric(ann_file, **settings))
        metrics[-1].dataset_meta = IRDataset.METAINFO
    separate_files(metrics)
    for metric in metrics:
        metric.process({}, [prediction(1, [(*car, 0.9)])])
        metric.evaluate(1)
    saved = {name: json.loads((tmp_path / f'{name}.json').read_text()) for name in ('out', 'out_cars_only', 'out_3')}
    assert [Path(content['ann_file']).stem for content in saved.values()] == ['both', 'car', 'bicycle']
    scores = [content['metrics']['segm']['all']['mAP'] for content in saved.values()]
    assert scores == [approx(0.5), approx(1.0), approx(0.0)]
    assert [content.get('evaluator') for content in saved.values()] == [None, 'cars_only', '3']
    assert Path(json.loads((tmp_path / 'apart.json').read_text())['ann_file']).stem == 'apart'
    assert len(list(tmp_path.glob('found*.segm.json'))) == 4
    assert f'unrounded metrics: {tmp_path}/out_cars_only.json' in capsys.readouterr().out


def test_validation_during_training_is_saved_by_iteration(tmp_path):
    mask = rectangle(10, 20, 40, 30)
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(CAR, mask)]])
    MMLogger.get_instance('metric-test', log_file=str(tmp_path / 'run.log'))
    hub = MessageHub.get_instance('metric-test')
    hub.update_info('loop_stage', 'val')
    hub.update_info('iter', 199)  # the index of the last iteration, 0-based
    evaluate(ann_file, [prediction(1, [(CAR, mask, 0.9)])])
    assert json.loads((tmp_path / 'metrics_val_200.json').read_text())['iteration'] == 200


def test_table_is_in_percent_with_recall_as_a_fraction():
    row = {'targets': 7, 'mAP': 0.6846, 'Recall': 0.718, 'mAP50': 0.97229, 'mAP75': 0.82278}
    row |= {'mAPs': 0.61798, 'mAPm': 0.77394, 'mAPl': math.nan}
    line = render({'segm': {'all': row}}).splitlines()[3]
    cells = [cell.strip() for cell in line.strip('|').split('|')]
    assert cells == ['masks, all', '7', '68.460', '0.718', '97.229', '82.278', '61.798', '77.394', '-']


def evaluate_on_rank(rank, world_size, folder):
    """One of several processes, each with every ``world_size``-th image; padded at the end as samplers do."""
    init = f'file://{folder}/rendezvous'
    torch.distributed.init_process_group('gloo', init_method=init, rank=rank, world_size=world_size)
    _, predictions = random_case(seed=2, num_images=7)
    metric = IRCocoMetric(str(folder / 'gt.json'), out_json=str(folder / 'distributed.json'))
    metric.dataset_meta = IRDataset.METAINFO
    metric.process({}, (predictions + predictions[:1])[rank::world_size])
    scores = metric.evaluate(len(predictions))
    (folder / f'scores_{rank}.json').write_text(json.dumps(scores))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_score_like_one(tmp_path):
    images, predictions = random_case(seed=2, num_images=7)
    ann_file = write_ground_truth(tmp_path / 'gt.json', images)
    expected = evaluate(ann_file, predictions, out_json=str(tmp_path / 'single.json'))
    torch.multiprocessing.spawn(evaluate_on_rank, args=(2, tmp_path), nprocs=2)
    for rank in range(2):
        scores = json.loads((tmp_path / f'scores_{rank}.json').read_text())
        assert scores == pytest.approx(expected, rel=0, abs=0, nan_ok=True)
    assert (tmp_path / 'distributed.json').read_text() == (tmp_path / 'single.json').read_text()


def test_format_only_keeps_the_detections(tmp_path):
    mask = rectangle(10, 20, 40, 30)
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(CAR, mask)]])
    prefix = str(tmp_path / 'out')
    assert evaluate(ann_file, [prediction(1, [(CAR, mask, 0.5)])], format_only=True, outfile_prefix=prefix) == {}
    (entry,) = json.loads(Path(f'{prefix}.segm.json').read_text())
    assert entry['category_id'] == CAR + 1 and entry['score'] == 0.5
    assert (mask_utils.decode(entry['segmentation']) == mask).all()


def test_errors_name_what_is_wrong(tmp_path):
    mask = rectangle(10, 20, 40, 30)
    ann_file = write_ground_truth(tmp_path / 'gt.json', [[(CAR, mask)]])
    with pytest.raises(
        ValueError, match=r"metric: expected 'bbox', 'segm' or both, got 'proposal'; .*val_evaluator\.m"
    ):
        IRCocoMetric(ann_file, metric='proposal')
    with pytest.raises(ValueError, match='format_only: expected outfile_prefix'):
        IRCocoMetric(ann_file, format_only=True)

    boxes_only = prediction(1, [(CAR, mask, 0.9)])
    del boxes_only['pred_instances'].masks
    with pytest.raises(ValueError, match="metric 'segm': expected a model that predicts masks"):
        evaluate(ann_file, [boxes_only])

    other = write_ground_truth(tmp_path / 'other.json', [[(CAR, mask)]], classes=('person', 'car', 'bicycle', 'uav'))
    with pytest.raises(ValueError, match=r"other\.json: 'categories': expected \['human'.*got \['car', 'bicycle'"):
        evaluate(other, [prediction(1, [(CAR, mask, 0.9)])])
