"""The one hash of a config's settings: of records, cells and exported files."""

from mmdet_ir.deploy import export
from mmdet_ir.engine.config_hash import config_hash
from mmdet_ir.experiments import jobs, records

import pytest
from mmengine.config import Config


def test_hash_ignores_order_sequence_kind_and_where_the_run_was_kept():
    first = Config({'model': {'type': 'A', 'size': (1, 2)}, 'lr': 0.1, 'work_dir': 'a', 'launcher': 'none'})
    second = Config({'lr': 0.1, 'model': {'size': [1, 2], 'type': 'A'}, 'work_dir': 'b', 'resume': True})
    assert config_hash(first) == config_hash(second)
    # SHA-256 of {"lr": 0.1, "model": {"size": [1, 2], "type": "A"}}, by coreutils' sha256sum
    assert config_hash(first) == '741055742c3a15bf827aab73b5fa6ec705b3bff35b67b959ecddfa054d630e57'


@pytest.mark.parametrize('change', [{'lr': 0.2}, {'model.size': [2, 1]}, {'load_from': 'weights.pth'}])
def test_hash_sees_every_setting_that_counts(change):
    base = {'model': {'type': 'A', 'size': (1, 2)}, 'lr': 0.1}
    changed = Config(base)
    changed.merge_from_dict(change)
    assert config_hash(changed) != config_hash(Config(base))


def test_records_cells_and_exported_files_have_the_same_hash():
    assert export.config_hash is records.config_hash is jobs.config_hash is config_hash
