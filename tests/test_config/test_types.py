"""The same config in text style and in pure Python style, where types are classes, means the same."""

from pathlib import Path

from mmdet_ir.config.options import read_config
from mmdet_ir.config.types import with_type_names

import mmdet.datasets.transforms
import pytest
from mmengine.config import Config
from pure_python import pure_python

REPO = Path(__file__).parents[2]


@pytest.mark.parametrize(
    'config',
    [
        'quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic_ir-aug.py',
        'ir/mask_rcnn_ir16.py',
        'baselines/rtmdet-ins_tiny.py',
        'baselines/solov2_r50_fpn.py',
        'baselines/yolact_r50.py',
    ],
)
def test_classes_are_read_as_their_names(tmp_path: Path, config: str) -> None:
    file = tmp_path / 'base.py'
    file.write_text(pure_python(str(REPO / 'configs' / config)))
    assert 'from mmdet_ir.' in file.read_text()
    own = tmp_path / 'own.py'
    own.write_text('from mmengine.config import read_base\n\nwith read_base():\n    from .base import *\n')
    expected = Config.fromfile(REPO / 'configs' / config).to_dict()
    del expected['custom_imports']
    read = read_config(str(own))
    assert read.to_dict() == expected
    dumped = tmp_path / 'dumped.py'
    read.dump(dumped)
    assert Config.fromfile(dumped).to_dict() == expected


TWINS = """
from mmcv.ops import nms
from mmcv.transforms import Resize
from mmdet.datasets.transforms import LoadAnnotations
from torch.nn import BatchNorm2d, Flatten
from torch.optim import AdamW

pipeline = [dict(type=Resize, scale=(8, 8)), dict(type=LoadAnnotations)]
tests = (dict(nms=dict(type=nms, iou_threshold=0.5)), dict(type=BatchNorm2d), dict(type=AdamW), dict(type=Flatten))
default_scope = None
"""


def test_a_name_that_means_another_class_is_written_as_a_path(tmp_path: Path) -> None:
    (tmp_path / 'own.py').write_text(TWINS)
    read = read_config(str(tmp_path / 'own.py'))
    assert [step['type'] for step in read.to_dict()['pipeline']] == [
        'mmcv.transforms.processing.Resize',
        'LoadAnnotations',
    ]
    assert read.tests[0].nms.type == 'nms'
    assert [entry.type for entry in read.tests[1:]] == ['BN', 'AdamW', 'torch.nn.modules.flatten.Flatten']
    assert read.default_scope == 'mmdet'  # in whose registries the names stand


def test_text_style_stays_as_it_is() -> None:
    cfg = Config({'a': {'type': 'Resize'}, 'default_scope': None})
    assert with_type_names(cfg).to_dict() == {'a': {'type': 'Resize'}, 'default_scope': None}


def test_classes_of_a_config_made_in_a_notebook() -> None:
    cfg = Config({'a': {'b': [{'type': mmdet.datasets.transforms.Resize}]}})
    assert with_type_names(cfg).to_dict() == {'a': {'b': [{'type': 'Resize'}]}, 'default_scope': 'mmdet'}
