"""An image in which a model finds nothing is an image like others, whatever the model."""

from pathlib import Path

from mmdet_ir.models.test_time_augs.tta import IRTTAModel
from mmdet_ir.visualization import find_instances

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope

QUICKSTART = Path(__file__).parents[2] / 'configs/quickstart'
FAMILIES = ('blendmask', 'condinst', 'mask_rcnn', 'rtmdet-ins', 'solov2', 'sparseinst', 'yolact')
META = {'ori_shape': (64, 96), 'img_shape': (64, 96), 'scale_factor': (1.0, 1.0), 'img_id': 1}


def demanding(family: str) -> dict:
    """The config of a small model that finds nothing in an even image."""
    model = Config.fromfile(QUICKSTART / f'{family}_real.py').model
    for settings in (model.test_cfg, model.test_cfg.get('rcnn') or {}):
        if 'score_thr' in settings:
            settings.score_thr = 2.0
    return model


def view(channels: int, flip: bool) -> dict:
    sample = DetDataSample(metainfo={**META, 'flip': flip, 'flip_direction': 'horizontal' if flip else None})
    return {'inputs': [torch.full((channels, 64, 96), 90, dtype=torch.uint8)], 'data_samples': [sample]}


@pytest.mark.parametrize('family', FAMILIES)
def test_nothing_has_labels_that_are_whole_numbers(family: str) -> None:
    init_default_scope('mmdet')
    model = MODELS.build(demanding(family)).eval()
    channels = len(model.data_preprocessor.mean)
    with torch.inference_mode():
        (sample,) = model.test_step(view(channels, flip=False))
        views = [view(channels, flip) for flip in (False, True)]
        (merged,) = IRTTAModel(model).test_step({key: [v[key] for v in views] for key in views[0]})
    for found in (sample.pred_instances, merged.pred_instances):
        assert len(found) == 0 and found.labels.dtype == torch.int64
        assert find_instances(found, np.zeros(4)) == []
