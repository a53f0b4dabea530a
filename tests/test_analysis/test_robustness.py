import json

from mmdet_ir.analysis import robustness
from mmdet_ir.analysis.robustness import (
    CORRUPTIONS,
    corrupted,
    measure_robustness,
    robustness_table,
    summarize,
)
from mmdet_ir.datasets.transforms import SeededByImage

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

SIZE = (48, 64)


def scene(number: int) -> np.ndarray:
    image = np.random.default_rng(number).integers(90, 110, SIZE, np.uint8)
    image[10:30, 10 + number : 40 + number] = 170
    return image


@pytest.fixture
def cfg(tmp_path) -> Config:
    """A test set of three scenes with a warm target each, whose mask is its rectangle."""
    (tmp_path / 'images').mkdir()
    coco = {'categories': [{'id': i + 1, 'name': n} for i, n in enumerate(('human', 'car', 'bicycle', 'uav'))]}
    coco |= {'images': [], 'annotations': []}
    for i in range(3):
        cv2.imwrite(str(tmp_path / 'images' / f'{i}.png'), scene(i))
        coco['images'].append({'id': i + 1, 'file_name': f'{i}.png', 'width': SIZE[1], 'height': SIZE[0]})
        x = 10 + i
        coco['annotations'].append(
            {
                'id': i + 1,
                'image_id': i + 1,
                'category_id': 2,
                'bbox': [x, 10, 30, 20],
                'area': 600,
                'iscrowd': 0,
                'segmentation': [[x, 10, x + 30, 10, x + 30, 30, x, 30]],
            }
        )
    (tmp_path / 'val.json').write_text(json.dumps(coco))
    init_default_scope('mmdet')
    cfg = Config.fromfile('configs/edge/mask_rcnn_lite0_real.py')
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader.dataset.update(data_root=str(tmp_path), ann_file='val.json')
    cfg.test_evaluator.ann_file = str(tmp_path / 'val.json')
    return cfg


class Threshold:
    """Stands for a model: what is above 140 in the image is a car."""

    calls = 0

    def __init__(self, *arguments, **options) -> None:
        self.model = self

    def test_step(self, batch: dict) -> list:
        type(self).calls += 1
        for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
            mask = image[0] > 140
            rows, columns = torch.where(mask)
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if mask.any() else [0, 0, 1, 1]
            sample.pred_instances = InstanceData(
                bboxes=torch.tensor([[float(v) for v in box]]),
                scores=torch.ones(1),
                labels=torch.ones(1, dtype=torch.long),
                masks=mask[None],
            )
        return [sample.to_dict() for sample in batch['data_samples']]


@pytest.fixture
def threshold(cfg, tmp_path, monkeypatch):
    cfg.dump(tmp_path / 'config.py')
    (tmp_path / 'weights.pth').write_bytes(b'weights')
    monkeypatch.setattr(robustness, 'IRInferencer', Threshold)
    monkeypatch.setattr(Threshold, 'calls', 0)
    return tmp_path / 'config.py', tmp_path / 'weights.pth', tmp_path / 'out.json'


def test_scores_under_corruption(threshold):
    record = measure_robustness(*threshold, corruptions=['polarity', 'offset'], severities=[1, 5])
    scores = {name: {k: v['segm_mAP'] for k, v in found.items()} for name, found in record['scores'].items()}
    # 170 becomes 85 in the negative, where the ground of 90 to 110 becomes 145 to 165; 170 falls to 150 and to 68 when
    # the level falls by 0.08 and 0.4 of 255.
    assert scores == {'clean': {'0': 1.0}, 'polarity': {'1': 0.0, '5': 0.0}, 'offset': {'1': 1.0, '5': 0.0}}
    assert record['summary'] == {
        'clean': 1.0,
        'by_corruption': {'polarity': 0.0, 'offset': 0.5},
        'mPC': 0.25,
        'rPC': 0.25,
    }
    assert json.loads(threshold[2].read_text()) == record


def test_an_interrupted_run_goes_on(threshold, monkeypatch):
    first = measure_robustness(*threshold, corruptions=['polarity'], severities=[1])
    calls = Threshold.calls
    assert calls == 2 * 3
    assert measure_robustness(*threshold, corruptions=['polarity'], severities=[1]) == first
    assert Threshold.calls == calls
    measure_robustness(*threshold, corruptions=['polarity'], severities=[1, 2])
    assert Threshold.calls == calls + 3
    threshold[1].write_bytes(b'others')
    with pytest.raises(ValueError, match='choose another file'):
        measure_robustness(*threshold)


@pytest.mark.parametrize('changed', ['config.py', 'weights.pth', 'val.json', 'others.json'])
def test_scores_of_another_config_checkpoint_or_data_set_are_not_gone_on_with(threshold, changed):
    folder = threshold[0].parent
    options = {'corruptions': [], 'severities': []}
    cfg = Config.fromfile(threshold[0])
    (folder / 'others.json').write_bytes((folder / 'val.json').read_bytes())
    cfg.test_evaluator.ann_file = str(folder / 'others.json')
    cfg.dump(threshold[0])
    first = measure_robustness(*threshold, **options)
    if changed == 'config.py':
        cfg.model.test_cfg.rcnn.score_thr = 0.9
        cfg.dump(threshold[0])
    else:
        (folder / changed).write_bytes((folder / changed).read_bytes() + b' ')
    kinds = {'config.py': 'config_sha256', 'weights.pth': 'checkpoint_sha256'}
    differs = f'got those of others: {kinds.get(changed, "data_sha256")} was [^;]*; choose another file'
    with pytest.raises(ValueError, match=differs):
        measure_robustness(*threshold, **options)
    assert json.loads(threshold[2].read_text()) == first


def mixed(one: dict) -> dict:
    """The loader within, the steps after it without."""
    steps = one['pipeline']
    return {'type': 'MultiImageMixDataset', 'dataset': {**one, 'pipeline': steps[:1]}, 'pipeline': steps[1:]}


@pytest.mark.parametrize(
    'wrap',
    [
        lambda one: {'type': 'ConcatDataset', 'datasets': [{**one, 'indices': [0]}, {**one, 'indices': [1, 2]}]},
        lambda one: {'type': 'RepeatDataset', 'times': 2, 'dataset': one},
        mixed,
    ],
)
def test_wrapped_test_sets_and_other_prefixes_score_the_same(threshold, wrap):
    """Values as in the first test; the negative of the targets is not found."""
    cfg = Config.fromfile(threshold[0])
    one = cfg.test_dataloader.dataset.to_dict()
    one['pipeline'] = [step for step in one['pipeline'] if step['type'] != 'LoadAnnotations']
    cfg.test_dataloader.dataset = wrap(one)
    cfg.test_evaluator.prefix = 'ir'
    cfg.dump(threshold[0])
    record = measure_robustness(*threshold, corruptions=['polarity', 'offset'], severities=[1])
    scores = {name: [found['segm_mAP'] for found in by.values()] for name, by in record['scores'].items()}
    assert scores == {'clean': [1.0], 'polarity': [0.0], 'offset': [1.0]}


def test_a_test_without_scores_of_masks_is_told(threshold):
    cfg = Config.fromfile(threshold[0])
    cfg.test_evaluator.metric = 'bbox'
    cfg.dump(threshold[0])
    with pytest.raises(ValueError, match=r"expected a metric that scores masks .*, got \['coco/bbox_Recall'"):
        measure_robustness(*threshold, corruptions=[], severities=[])


def test_clean_is_the_config_itself(cfg):
    assert corrupted(cfg, 'clean', 0).to_dict() == cfg.to_dict()
    before = cfg.to_dict()
    names = [t.type for t in corrupted(cfg, 'blur', 2).test_dataloader.dataset.pipeline]
    assert names[:3] == ['LoadIRImageFromFile', 'SeededByImage', 'Resize'] and cfg.to_dict() == before
    with pytest.raises(ValueError, match=r"expected a corruption of gain, .* got 'fog' and 1"):
        corrupted(cfg, 'fog', 1)
    with pytest.raises(ValueError, match="got 'blur' and 6"):
        corrupted(cfg, 'blur', 6)


def test_counts_are_corrupted_before_tone_mapping():
    cfg = Config.fromfile('configs/quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic16.py')
    pipeline = corrupted(cfg, 'noise', 3).test_dataloader.dataset.pipeline
    assert [t.type for t in pipeline[:3]] == ['LoadIRImageFromFile', 'SeededByImage', 'ToneMapping']
    assert pipeline[1].transforms[0].value_range == 'image'


@pytest.mark.parametrize('name', CORRUPTIONS)
def test_severity_grows(name):
    clean, changes = scene(0), []
    for transform in CORRUPTIONS[name]:
        seeded = SeededByImage([transform])
        changed = seeded({'img': clean.copy(), 'img_id': 3})['img']
        changes.append(np.abs(changed.astype(float) - clean).mean())
    assert changes[0] > 0
    assert changes == sorted(changes)
    assert name == 'polarity' or len(set(changes)) == 5


def test_random_numbers_depend_on_the_image_alone():
    seeded = TRANSFORMS.build({'type': 'SeededByImage', 'transforms': [CORRUPTIONS['noise'][4]]})

    def run(number: int) -> np.ndarray:
        return seeded({'img': scene(0), 'img_id': number})['img']

    np.random.seed(1)  # noqa: NPY002
    first, second = run(1), run(2)
    after = np.random.random()  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert (run(2) == second).all() and (run(1) == first).all() and (first != second).any()
    np.random.seed(1)  # noqa: NPY002
    assert np.random.random() == after  # noqa: NPY002 (it goes on as if nothing had been drawn)


def test_summary_and_table():
    def at(*values: float) -> dict:
        return {str(k): {'segm_mAP': value} for k, value in enumerate(values, start=1)}

    scores = {'clean': {'0': {'segm_mAP': 0.5}}, 'gain': at(0.4, 0.2), 'dead_pixels': at(0.5, 0.3)}
    summary = summarize(scores)
    assert summary['by_corruption'] == pytest.approx({'gain': 0.3, 'dead_pixels': 0.4})
    assert (summary['mPC'], summary['rPC']) == pytest.approx((0.35, 0.7))
    assert summarize({'clean': {'0': {'segm_mAP': 0.0}}, 'gain': at(0.0)})['rPC'] is None
    record = {'scores': scores, 'summary': summary}
    lines = robustness_table({'a': record, 'b': record}).splitlines()
    assert lines[2:] == [
        '| clean | 50.0 | 50.0 |',
        '| gain | 30.0 | 30.0 |',
        '| dead pixels | 40.0 | 40.0 |',
        '| mean (mPC) | 35.0 | 35.0 |',
        '| relative to clean (rPC) | 70.0 | 70.0 |',
    ]
    other = {'scores': {'clean': scores['clean']}, 'summary': summary}
    with pytest.raises(ValueError, match='expected the same corruptions and severities in all files'):
        robustness_table({'a': record, 'b': other})
    one, two = (record | {'model': {'data_sha256': {'val.json': sum}}} for sum in ('ab', 'cd'))
    assert robustness_table({'a': record, 'b': one, 'c': one}).splitlines()[2] == '| clean | 50.0 | 50.0 | 50.0 |'
    with pytest.raises(ValueError, match='expected scores on the same annotations .* others in b and c'):
        robustness_table({'a': record, 'b': one, 'c': two})
