"""Scores of models that see the test set in tiles, in PyTorch and exported."""

import json
from collections import OrderedDict
from copy import deepcopy
from pathlib import Path

from mmdet_ir.apis import launch
from mmdet_ir.apis import test_tiled as score_tiled
from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.deploy.backends import ExportedModel
from mmdet_ir.deploy.export import export_model
from mmdet_ir.deploy.score import predict_tiled, score_exported

import numpy as np
import pytest
from mmengine.logging import MMLogger
from pycocotools import mask as mask_utils
from tiny_problem import HEIGHT, WIDTH, counts, write_problem


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('tiled')
    write_problem(root)
    text = (root / 'config.py').read_text()
    window = "dict(type='ToneMapping', method='window', low=6900, high=8500)"
    (root / 'window.py').write_text(text.replace('_base_.tone_mapping', window))
    return root


def test_images_smaller_than_a_tile_score_as_ever(root: Path, tmp_path: Path) -> None:
    config, weights = str(root / 'config.py'), str(root / 'weights.pth')
    expected = launch.test(config, weights, work_dir=str(tmp_path))
    whole = score_tiled(config, weights, (640, 512), out=str(tmp_path / 'whole.pkl'))
    assert whole == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert (tmp_path / 'whole.pkl').stat().st_size
    assert set(score_tiled(config, weights, (50, 40), 0.5)) == set(whole)
    with pytest.raises(ValueError, match='--overlap: expected a share .* below 1, got 1'):
        score_tiled(config, weights, (50, 40), 1.0)


def test_repeated_images_count_once_in_every_tool(root: Path, tmp_path: Path) -> None:
    """Sets that hold each image twice, by either wrapper, score as the plain set does."""
    config, weights = str(root / 'config.py'), str(root / 'weights.pth')
    options = {'test_evaluator.outfile_prefix': str(tmp_path / 'found')}
    launch.test(config, weights, work_dir=str(tmp_path), cfg_options=options)
    coco = json.loads((root / 'val.json').read_text())  # what the model finds is the ground truth
    coco['annotations'] = [
        {**one, 'id': i, 'iscrowd': 0, 'area': int(mask_utils.area(one['segmentation']))}
        for i, one in enumerate(json.loads((tmp_path / 'found.segm.json').read_text()))
    ]
    (tmp_path / 'found.json').write_text(json.dumps(coco))
    first = launch.load_config(config)
    first.test_dataloader.dataset.ann_file = first.test_evaluator.ann_file = str(tmp_path / 'found.json')
    config = str(tmp_path / 'config.py')
    first.dump(config)
    plain = launch.test(config, weights, work_dir=str(tmp_path))
    assert plain['coco/bbox_mAP'] == pytest.approx(1)
    export_model(IRInferencer(config, weights, 'cpu', show_progress=False), tmp_path / 'model.pt', 'torchscript')
    exported = ExportedModel(tmp_path / 'model.pt')
    whole = score_exported(exported, launch.load_config(config))
    for name, wrap in (
        ('repeat', lambda one: {'type': 'RepeatDataset', 'times': 2, 'dataset': one}),
        ('concat', lambda one: {'type': 'ConcatDataset', 'datasets': [one, one]}),
    ):
        cfg = deepcopy(first)
        cfg.test_dataloader.dataset = wrap(cfg.test_dataloader.dataset)
        config = str(tmp_path / f'{name}.py')
        cfg.dump(config)
        for scores in (
            launch.test(config, weights, work_dir=str(tmp_path)),
            score_tiled(config, weights, (640, 512)),
        ):
            assert scores == pytest.approx(plain, abs=1e-9, nan_ok=True), name
        assert score_exported(exported, launch.load_config(config)) == pytest.approx(whole, abs=1e-9, nan_ok=True)


def test_the_scores_of_every_metric_have_a_place(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())  # (a logger keeps the stdout of its first test)
    config, weights = str(root / 'config.py'), str(root / 'weights.pth')
    export_model(IRInferencer(config, weights, 'cpu', show_progress=False), tmp_path / 'model.pt', 'torchscript')
    exported, cfg = ExportedModel(tmp_path / 'model.pt'), launch.load_config(config)
    ours = cfg.test_evaluator
    stock = {'type': 'CocoMetric', 'ann_file': ours.ann_file, 'prefix': 'stock'}
    cfg.test_evaluator = [stock, ours, {**ours, 'prefix': 'again'}]
    found = score_exported(exported, cfg, str(tmp_path / 'out.json'))
    assert {'stock/bbox_mAP', 'coco/segm_mAP', 'again/segm_mAP'} <= found.keys()
    assert sorted(path.name for path in tmp_path.glob('*.json')) == ['out.json', 'out_again.json']
    assert 'those of CocoMetric are shown and not saved' in capsys.readouterr().out
    cfg.test_evaluator = [stock]
    with pytest.raises(ValueError, match=r"out\.json: expected an IRCocoMetric .*, got \['CocoMetric'\]"):
        score_exported(exported, cfg, str(tmp_path / 'out.json'))
    cfg = launch.load_config(config)
    cfg.test_evaluator = [ours, {**ours, 'prefix': 'again'}]
    cfg.dump(tmp_path / 'several.py')
    launch.test(str(tmp_path / 'several.py'), weights, work_dir=str(tmp_path / 'work'))
    names = sorted(path.name for path in (tmp_path / 'work').glob('*/metrics*.json'))
    assert names == ['metrics_test.json', 'metrics_test_again.json']


def test_exported_models_in_tiles(root: Path, tmp_path: Path) -> None:
    inferencer = IRInferencer(root / 'window.py', root / 'weights.pth', 'cpu', show_progress=False)
    export_model(inferencer, tmp_path / 'model.pt', 'torchscript')
    exported, cfg = ExportedModel(tmp_path / 'model.pt'), launch.load_config(str(root / 'window.py'))
    expected = score_exported(exported, cfg)
    assert score_exported(exported, cfg, tile=(WIDTH, HEIGHT)) == pytest.approx(expected, abs=1e-9, nan_ok=True)
    # as PyTorch in the same tiles
    image, tile = counts(4, 100, 150), (WIDTH, HEIGHT)
    got = predict_tiled(exported, image, tile, 0.3)
    expected, _ = inferencer.predict_tiled(image, 'image', tile, 0.3, np.zeros(4))
    assert len(got) == len(expected) > 0
    for one, other in zip(got, expected, strict=True):
        assert one.label == other.label and one.box == pytest.approx(other.box, abs=1e-2)
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert abs(one.area - other.area) <= 2


def test_tones_of_single_tiles_are_refused(root: Path, tmp_path: Path) -> None:
    inferencer = IRInferencer(root / 'config.py', root / 'weights.pth', 'cpu', show_progress=False)
    export_model(inferencer, tmp_path / 'model.pt', 'torchscript')
    with pytest.raises(ValueError, match='one tone mapping for the whole image, window or none, got percentile'):
        predict_tiled(ExportedModel(tmp_path / 'model.pt'), counts(1), (50, 40))
