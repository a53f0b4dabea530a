"""The forms of inference are compared honestly: same work, same detections, or a reason."""

from dataclasses import replace
from pathlib import Path

from mmdet_ir.benchmark.forms import PYTORCH_FORMS, exported_form, make_inferencer, pytorch_form
from mmdet_ir.benchmark.profile import profile_call
from mmdet_ir.benchmark.run import Settings, Worker, compare, read_images
from mmdet_ir.benchmark.subject import make_batch
from mmdet_ir.benchmark.tables import render
from mmdet_ir.benchmark.torchvision_subject import TorchvisionSubject
from mmdet_ir.benchmark.worker import IMAGES, WEIGHTS, Trial, load_found, matrix_products, prepare, run, save_found
from mmdet_ir.cli.choices import EXPORTED_FORMS, FORMS, TORCHVISION

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from torch import nn

CONFIG = str(Path(__file__).parents[2] / 'configs' / 'quickstart' / 'mask_rcnn_synthetic.py')
SIZE = (160, 128)


def box_found(box: list[int], score: float, label: int = 0) -> dict[str, np.ndarray]:
    x1, y1, x2, y2 = box
    mask = np.zeros((1, 30, 21), bool)
    mask[0, y1:y2, x1:x2] = True
    boxes, scores = np.array([box], np.float32), np.array([score], np.float32)
    return {'boxes': boxes, 'scores': scores, 'labels': np.array([label]), 'masks': mask}


@pytest.fixture(scope='module')
def job(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A small Mask R-CNN with random weights, prepared for all forms."""
    init_default_scope('mmdet')
    folder = tmp_path_factory.mktemp('bench')
    np.save(folder / IMAGES, make_batch(SIZE, 1, 0)['inputs'][0][:1].numpy())
    (folder / 'model').mkdir()
    job = Trial('prepare', CONFIG, 'eager', str(folder / 'model'), size=SIZE, batch=1)
    known = prepare(job)
    assert known['operations'] > 1e9 and 0 < known['score_threshold'] < 1
    return job


def test_the_tool_offers_every_form() -> None:
    assert tuple(PYTORCH_FORMS) + EXPORTED_FORMS == FORMS


def test_comparison_by_hand() -> None:
    expected = [box_found([2, 2, 12, 22], 0.9), box_found([0, 0, 10, 10], 0.5, label=1)]
    # The first is one row shorter (200 pixels against 190), its score 0.1 lower; the second has another label.
    got = [box_found([2, 2, 12, 21], 0.8), box_found([0, 0, 10, 10], 0.5, label=2)]
    row = compare(expected, got)
    assert (row['expected'], row['detections'], row['matched']) == (2, 2, 1)
    assert row['box'] == 1 and row['score'] == pytest.approx(0.1) and row['mask'] == pytest.approx(0.95)


def test_detections_survive_the_file(tmp_path: Path) -> None:
    found = [box_found([2, 2, 12, 22], 0.9), {name: v[:0] for name, v in box_found([0, 0, 9, 9], 0.1).items()}]
    save_found(tmp_path / 'found.npz', found)
    for first, second in zip(found, load_found(tmp_path / 'found.npz', 21), strict=True):
        assert first.keys() == second.keys()
        assert all(np.array_equal(first[name], second[name]) for name in first)


def test_channels_last_detects_the_same(job: Trial) -> None:
    found = {}
    for form in ('eager', 'channels-last'):
        run(replace(job, task='inference', form=form))
        found[form] = load_found(Path(job.folder) / f'{form}.npz', SIZE[0])
    row = compare(*found.values())
    assert row['expected'] == row['detections'] == row['matched'] == 100
    assert row['box'] < 1e-2 and row['score'] < 1e-4 and row['mask'] > 0.999


def test_bf16_detects_with_proposals_of_its_own(job: Trial) -> None:
    """Which are in bfloat16."""
    form = pytorch_form(make_inferencer(CONFIG, f'{job.folder}/{WEIGHTS}', SIZE, 'cpu', score_thr=0.01), 'bf16', 'cpu')
    found = form.detect(np.load(Path(job.folder).parent / IMAGES)[0])
    assert form.precision == 'bfloat16' and len(found['boxes']) and found['boxes'].dtype == np.float32


def test_an_exported_graph_gets_the_given_proposals_too(job: Trial) -> None:
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnx')
    run(replace(job, task='inference', form='eager'))
    known, _ = run(replace(job, task='export', form='onnx'))
    run(replace(job, task='inference', form='onnx', file=known['file']))
    row = compare(*(load_found(Path(job.folder) / f'{form}.npz', SIZE[0]) for form in ('eager', 'onnx')))
    assert row['detections'] == row['matched'] == 100 and row['box'] < 0.1
    assert exported_form(known['file'], 1).precision == 'float32'


def test_torchvision_has_the_same_work() -> None:
    batch = make_batch(SIZE, 1, 0)
    subject = TorchvisionSubject(SIZE, 'cpu', None)
    subject.model.rpn._pre_nms_top_n = {'training': 50, 'testing': 50}  # (fewer RoIs, for the time of the test)
    subject.keep_detections(batch, count=8)
    found = pytorch_form(subject, 'eager', 'cpu').detect(batch['inputs'][0][0].numpy())
    assert len(found['scores']) == 8 and found['masks'].shape == (8, SIZE[1], SIZE[0])
    assert found['masks'].dtype == bool and set(found['labels']) <= set(range(4))
    with pytest.raises(ValueError, match='expected a detector of MMDetection, got MaskRCNN'):
        pytorch_form(subject, 'compile-parts', 'cpu')


def test_rate_of_matrix_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mmdet_ir.benchmark.worker._SIDE', 64)
    for row in matrix_products(1, 'cpu').values():
        assert 'error' in row or row['rate'] * row['seconds'] == pytest.approx(2 * 64**3)


def test_images_are_brought_to_the_size(tmp_path: Path) -> None:
    for number in range(5):
        cv2.imwrite(str(tmp_path / f'{number}.png'), np.full((50, 70), 10 * number, np.uint8))
    settings = Settings({CONFIG: ''}, images=[str(tmp_path)], count=3, job=Trial('', '', '', '', size=SIZE))
    images = read_images(settings)
    assert images.shape == (3, SIZE[1], SIZE[0]) and images[:, 0, 0].tolist() == [0, 20, 40]


@pytest.mark.parametrize(
    ('models', 'message'),
    [
        ({}, 'at least one model'),
        ({TORCHVISION: 'a.pth'}, 'expected no checkpoint'),
        ({CONFIG: __file__}, 'needs images'),
    ],
)
def test_mistakes_are_refused_at_once(models: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(models)


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with Worker(Trial('inference', CONFIG, 'eager', str(tmp_path / 'nowhere')), tmp_path / 'log') as worker:
        assert not worker.alive and worker.known['error'].startswith('FileNotFoundError')


def test_profile_counts_operators_where_they_are_called() -> None:
    model = nn.Module()
    model.backbone = nn.Linear(300, 300)
    model.neck = nn.Identity()
    x = torch.ones(300, 300)

    def action() -> None:
        model.neck(model.backbone(x)).exp()

    found = profile_call(action, model)
    groups = {row['group']: row for row in found['groups']}
    assert groups['backbone']['operators'] > 0 and groups['elsewhere']['operators'] > 0
    parts = [row['total'] for name, row in groups.items() if name != 'all']
    assert groups['all']['total'] == pytest.approx(sum(parts))
    where = {row['operator']: row['group'] for row in found['operators']}
    assert where['aten::addmm'] == 'backbone' and where['aten::exp'] == 'elsewhere'
    assert 'forward' not in vars(model.backbone)  # nothing is left behind


def test_tables_show_what_was_measured_and_why_not() -> None:
    row = {
        'model': 'configs/a.py',
        'form': 'eager',
        'seconds': 0.5,
        'memory': 1000.0,
        'ratio': 1.0,
        'own_ratio': 1.0,
        'rate': 2.5e10,
        'share': 0.25,
        'detections': 100,
        'matched': 99,
        'box': 0.5,
        'score': 0.25,
        'mask': 0.75,
        'note': '',
    }
    failed = {'model': 'configs/a.py', 'form': 'onnx', 'error': 'ValueError: a | b'}
    result = {'products': {'float32': {'seconds': 1, 'rate': 1e11}}, 'inference': [row, failed], 'step': [row]}
    lines = render(result | {'mask_losses': {'4 classes': {'fast': 0.001, 'slow': 0.002}}}).splitlines()
    assert '| float32 | 100 |' in lines
    expected = '| a | eager | 500 | 1 | 1 | 1000 | 25 | 25 % | 100 | 99 | 0.5 | 0.25 | 0.75 |  |'
    assert expected in lines
    assert '| a | onnx | - | - | - | - | - | - | - | - | - | - | - | ValueError: a \\| b |' in lines
    assert '| a | 0.5 | 1 | 1000 | 25 | 25 % |  |' in lines and '| slow | 2 |' in lines
