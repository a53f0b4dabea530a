"""Configs in pure Python style (``with read_base()``, types as classes): every tool works as with the text style."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config
from pure_python import pure_python
from road import CLASSES, REPO, Trained, coco, put, write_set

OWN = """from mmengine.config import read_base

with read_base():
    from .base import *

train_cfg.update(max_epochs={epochs})
"""


@pytest.fixture(scope='module')
def pure(trained: Trained, tool: Callable, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The trained model's config in the other style, and one epoch of it."""
    folder = tmp_path_factory.mktemp('pure')
    text = pure_python(str(trained.config))
    assert re.search(r"'type': MaskRCNN\b", text) and "'type': AdamW" in text
    put(folder / 'base.py', text)
    config = put(folder / 'own.py', OWN.format(epochs=1))
    tool('train.py', config, '--work-dir', folder / 'run').went_well(r'Epoch\(train\) +\[1\]\[2/2\]')
    return Trained(config, folder / 'run' / 'epoch_1.pth', trained.images)


def test_the_config_that_a_run_keeps_can_be_read(pure: Trained, trained: Trained) -> None:
    """As text, with the names of the registries: the same as of the text style, but for the folder."""
    (kept,) = pure.checkpoint.parent.glob('*/vis_data/config.py')
    (other,) = trained.checkpoint.parent.glob('*/vis_data/config.py')
    kept, other = (Config.fromfile(file).to_dict() for file in (kept, other))
    for key in ('work_dir', 'custom_imports'):
        kept.pop(key, None), other.pop(key, None)
    assert kept == other


def test_resuming_and_mixed_precision(pure: Trained, tool: Callable, tmp_path: Path) -> None:
    longer = put(pure.config.with_name('longer.py'), OWN.format(epochs=2))
    done = tool('train.py', longer, '--work-dir', tmp_path / 'run', '--resume', pure.checkpoint, '--amp')
    done.went_well('Mixed precision', r'Epoch\(train\) +\[2\]\[2/2\]')
    assert (tmp_path / 'run' / 'epoch_2.pth').exists()


def test_testing_with_views_and_pictures(pure: Trained, tool: Callable, tmp_path: Path) -> None:
    everything = ('--cfg-options', 'model.test_cfg.rcnn.score_thr=0.0')
    done = tool('test.py', pure.config, pure.checkpoint, '--work-dir', tmp_path / 't', '--tta', *everything)
    done.went_well('masks, all')
    done = tool('test.py', pure.config, pure.checkpoint, '--work-dir', tmp_path / 'd', '--show-dir', 'drawn')
    done.went_well('masks, all')
    assert len(list((tmp_path / 'd').glob('*/drawn/**/*.png'))) == 4
    (metrics,) = (tmp_path / 'd').glob('*/metrics_test*.json')
    record = tmp_path / 'records' / 'record.json'
    record.parent.mkdir()
    arguments = (pure.config, pure.checkpoint.parent, metrics, '--title', 'Mine', '--data', 'Six', '--out', record)
    tool('analysis/record_run.py', *arguments).went_well()
    overrides = json.loads(record.read_text())['config_overrides']
    assert not any('type' in str(key) for key in overrides), overrides  # a class and its name are no difference
    tool('analysis/render_results.py', record.parent, '--tables', tmp_path / 'tables').went_well()
    assert any('Mine' in file.read_text() for file in (tmp_path / 'tables').glob('*.csv'))


def test_drawing_exporting_and_browsing(pure: Trained, tool: Callable, tmp_path: Path) -> None:
    models = (pure.config, pure.checkpoint)
    tool('infer.py', *models, pure.images, '--out', tmp_path / 'found').went_well()
    tool('data/browse.py', pure.config, '--out', tmp_path / 'page.html').went_well()
    tool('data/validate.py', pure.config).said('')
    tool('analysis/draw_grid.py', *models, '--out', tmp_path / 'grid.png').went_well()
    tool('analysis/model_complexity.py', pure.config).went_well()
    model = tmp_path / 'model.onnx'
    tool('deploy/export.py', *models, '--format', 'onnx', '--out', model).went_well()
    tool('deploy/test_exported.py', model, pure.config).went_well()


def test_styles_that_are_mixed_are_told(pure: Trained, tool: Callable, tmp_path: Path) -> None:
    mixed = put(pure.config.with_name('mixed.py'), "_base_ = './own.py'\n")
    tool('train.py', mixed, '--work-dir', tmp_path / 'run').told('read_base')
    root = write_set(tmp_path / 'mine', coco(4, CLASSES))
    new = ('--like', pure.config, '--out', tmp_path / 'new.py')
    tool('data/new_config.py', root, *new).told(r'own\.py', 'read_base|pure Python')
    assert not (tmp_path / 'new.py').exists() and REPO.is_dir()
