"""The paper's tables on a user's own data set and classes: ``tools/reproduce.py --data NAME=FOLDER``."""

import json
from pathlib import Path

from mmdet_ir.experiments.batch_files import BatchSettings, _record_command
from mmdet_ir.experiments.reproduce import Plan

import cv2
import numpy as np
import pytest


@pytest.fixture(scope='module')
def ships(tmp_path_factory) -> Path:
    """A data set of two classes of one's own, with targets of 4 pixels, smaller than any of ours."""
    folder = tmp_path_factory.mktemp('ships')
    (folder / 'images').mkdir()
    cv2.imwrite(str(folder / 'images' / 'a.png'), np.arange(64 * 96, dtype=np.uint8).reshape(64, 96))
    for split in ('train', 'val'):
        square = {'bbox': [8, 8, 4, 4], 'area': 16, 'segmentation': [[8, 8, 12, 8, 12, 12, 8, 12]], 'iscrowd': 0}
        content = {
            'images': [{'id': 1, 'file_name': 'a.png', 'width': 96, 'height': 64}],
            'categories': [{'id': 1, 'name': 'ship'}, {'id': 2, 'name': 'buoy'}],
            'annotations': [{'id': 1, 'image_id': 1, 'category_id': 2, **square}],
        }
        path = folder / 'annotations' / f'{split}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(('size', 'table'), [('paper', 'table4'), ('study', 'table1'), ('scratch', 'table4')])
def test_own_data_reach_every_cell(ships: Path, size: str, table: str) -> None:
    """Classes, paths and heads are the data set's; weights, losses and schedule stay the cell's."""
    jobs = Plan(size, [table], data=[f'ships={ships}']).jobs()
    plain = {job.row.name: job.config() for job in Plan(size, [table]).jobs()}
    assert [job.row.name for job in jobs] == list(plain)
    for job in jobs:
        cfg, own = job.config(), plain[job.row.name]
        for loader, split in (('train', 'train'), ('val', 'val'), ('test', 'val')):
            leaf = cfg[f'{loader}_dataloader'].dataset
            assert list(leaf.metainfo.classes) == ['ship', 'buoy']
            assert Path(leaf.data_root, leaf.ann_file) == ships / 'annotations' / f'{split}.json'
        assert cfg.test_evaluator.ann_file == str(ships / 'annotations' / 'val.json')
        text = str(cfg.model)
        assert "'num_classes': 2" in text and "'num_classes': 4" not in text
        assert cfg.get('load_from') == own.get('load_from') and cfg.param_scheduler == own.param_scheduler
        assert cfg.optim_wrapper == own.optim_wrapper and cfg.train_cfg == own.train_cfg
        assert job.label.startswith(f'{size}/ships/') and not job.is_file


def test_a_batch_file_names_the_own_data(ships: Path) -> None:
    (job,) = Plan('study', ['table1'], rows=['c2'], data=[f'ships={ships}']).jobs()
    command = _record_command(job, Plan('study', ['table1']), BatchSettings())
    assert command[command.index('--data') + 1] == f'ships={ships}'


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ('real={ships}', 'another name'),
        ('a/b={ships}', 'another name'),
        ('a={ships}/images', 'annotation file not'),
        ('={ships}', 'NAME=FOLDER'),
        ('a=', 'NAME=FOLDER'),
    ],
)
def test_own_data_that_cannot_be_are_told(ships: Path, entry: str, message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Plan('study', data=[entry.format(ships=ships)]).data_sets()
