"""tools/analysis/overfit.py, on a toy problem: what it trains on, when it ends, what it keeps."""

import json
import runpy
from pathlib import Path

from mmdet_ir.analysis.overfitting.overfit import LearningCurve, adapt_config, overfit

import pytest
import torch
from mmengine.config import Config

REPO = Path(__file__).parents[2]


def test_it_ends_when_the_targets_were_met_twice(toy_config: Path, tmp_path: Path) -> None:
    seen = []
    options = {'experiment_name': tmp_path.name, 'model.roi_head.mask_head.loss_mask.loss_weight': 0.5}
    curve = overfit(
        str(toy_config),
        targets={'segm_mAP50': 0.0},
        images=3,
        steps=5,
        eval_every=1,
        size=(96, 64),
        batch=2,
        work_dir=str(tmp_path),
        cfg_options=options,
        report=seen.append,
    )
    assert curve.passed() and [e['step'] for e in seen] == [1, 2]
    kept = json.loads((tmp_path / 'curve.json').read_text())
    assert kept['evaluations'] == seen and kept['passed'] and kept['settings']['targets_in_images'] == 6
    terms = [values for name, values in kept['losses'].items() if name != 'loss']
    assert kept['losses']['loss'] == pytest.approx([sum(step) for step in zip(*terms, strict=True)], rel=1e-5)
    assert len(terms) == 5 and len(kept['losses']['loss']) == 2
    assert (tmp_path / 'curve.png').stat().st_size > 1000
    # All six targets of the three images were scored, and the curve holds what the metric wrote itself.
    values = json.loads(next(tmp_path.glob('*/metrics_val_2.json')).read_text())
    assert values['metrics']['segm']['all']['targets'] == 6
    assert values['metrics']['segm']['all']['mAP50'] == seen[-1]['segm_mAP50']
    assert 'backbone.conv1.weight' in torch.load(tmp_path / 'last.pth', weights_only=True)['state_dict']


def test_the_curve_tells_whether_the_targets_were_met() -> None:
    curve = LearningCurve({'segm_mAP50': 0.3, 'bbox_mAP50': 0.8})
    assert not curve.passed()
    for masks, boxes, passed, twice in (
        (0.3, 0.9, True, False),
        (0.2, 0.9, False, False),
        (0.4, 0.7, False, False),
        (0.4, 0.8, True, False),
        (1.0, 1.0, True, True),
    ):
        curve.evaluations.append({'segm_mAP50': masks, 'bbox_mAP50': boxes})
        assert (curve.passed(), curve.passed(last=2)) == (passed, twice)


def test_the_model_is_kept_and_all_that_is_random_goes(toy_config: Path) -> None:
    cfg = Config.fromfile(toy_config)
    inner = cfg.train_dataloader.dataset
    inner.pipeline[1].poly2mask = False
    inner.pipeline.insert(2, {'type': 'RandomFlip', 'prob': 0.5})
    pack = inner.pipeline.pop()
    cfg.train_dataloader.dataset = {
        'type': 'MultiImageMixDataset',
        'dataset': inner,
        'pipeline': [{'type': 'CopyPaste'}, pack],
    }
    cfg.test_dataloader.dataset.pipeline.insert(1, {'type': 'ToneMap', 'kind': 'window'})
    cfg.custom_hooks = [{'type': 'EMAHook'}, {'type': 'NumClassCheckHook'}]
    cfg.test_evaluator.metric = 'segm'
    cfg.model.data_preprocessor.update(pad_size_divisor=24, batch_augments=[{'type': 'BatchSyncRandomResize'}])
    heads = dict(cfg.model.roi_head)
    adapt_config(cfg, Path('there'), steps=100, eval_every=20, batch=4, lr=0.01, seed=3, from_scratch=True)
    train, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    names = ['LoadImageFromFile', 'Resize', 'ToneMap', 'LoadAnnotations', 'PackDetInputs']
    assert [step['type'] for step in train.pipeline] == names and train.pipeline[1]['scale_factor'] == 1.0
    assert train.pipeline[3]['poly2mask'] is False
    assert [step['type'] for step in val.pipeline] == [name for name in names if name != 'LoadAnnotations']
    for dataset in (train, val):
        assert (dataset.data_root, dataset.ann_file, dataset.data_prefix.img) == (
            'there/',
            'annotations/train.json',
            'images/',
        )
    assert cfg.val_evaluator.metric == ['segm']
    assert cfg.test_dataloader == cfg.val_dataloader and cfg.test_evaluator == cfg.val_evaluator  # for export and test
    assert cfg.model.data_preprocessor.pad_size_divisor == 96 and cfg.model.data_preprocessor.batch_augments is None
    assert [hook['type'] for hook in cfg.custom_hooks] == ['NumClassCheckHook']
    assert dict(cfg.model.roi_head) == heads and cfg.model.backbone.frozen_stages == -1
    assert not cfg.model.backbone.norm_eval


def test_a_model_that_does_not_learn_ends_with_one(
    toy_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    arguments = [toy_config, '--images', 2, '--size', 96, 64, '--steps', 1, '--eval-every', 1, '--mask-target', 1.1]
    arguments += ['--work-dir', tmp_path, '--cfg-options', f'experiment_name={tmp_path.name}']
    monkeypatch.setattr('sys.argv', ['overfit.py', *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(REPO / 'tools' / 'analysis' / 'overfit.py'), run_name='__main__')
    assert end.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith('step     1/1  mask mAP ') for line in lines].count(True) == 1
    assert 'NOT learned: segm_mAP50 >= 1.1, after 1 steps' in lines[-1]


def test_targets_that_are_not_measured_are_refused(toy_config: Path) -> None:
    with pytest.raises(ValueError, match=r"expected names out of .* got \['mAP'\]"):
        overfit(str(toy_config), targets={'mAP': 0.5})
    with pytest.raises(ValueError, match=r"test_evaluator that yields \['bbox_mAP50'\], got \['segm'\]"):
        overfit(str(toy_config), targets={'bbox_mAP50': 0.5}, cfg_options={'test_evaluator.metric': ['segm']})


@pytest.mark.parametrize(
    'option', ['train_dataloader.batch_size=1', 'optim_wrapper.optimizer.lr=0.5', 'train_cfg.max_epochs=9']
)
def test_options_that_it_would_not_read_are_refused(toy_config: Path, tmp_path: Path, option: str) -> None:
    key, value = option.split('=')
    options = {key: float(value) if '.' in value else int(value), 'model.test_cfg.rcnn.score_thr': 0.2}
    with pytest.raises(ValueError, match=rf'--cfg-options {key}: this tool sets it itself'):
        small = {'steps': 1, 'eval_every': 1, 'images': 2, 'size': (96, 64), 'targets': {'segm_mAP50': 0.5}}
        overfit(str(toy_config), **small, work_dir=str(tmp_path / 'out'), cfg_options=options)
    assert not (tmp_path / 'out').exists()
