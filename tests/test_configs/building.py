"""Configs, their models with random weights, and a batch that is small and has the awkward cases in it."""

import functools
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import mmdet_ir  # noqa: F401  (registers what the configs name)

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

ROOT = Path(__file__).parents[2] / 'configs'
MODELS_OF = ('ir', 'baselines', 'quickstart')  # each holds models of its own; the others are settings on top of them
FOLDERS = (*MODELS_OF, 'flir', 'edge', *(f'ablation/{p.name}' for p in sorted((ROOT / 'ablation').iterdir())))
CONFIGS = sorted(f'{folder}/{p.name}' for folder in FOLDERS for p in (ROOT / folder).glob('*.py'))
ANY_SCORE = {'score_thr': 0.0, 'filter_thr': 0.0, 'max_per_img': 5}
STAGES = [256, 512, 1024, 2048]  # channels of ResNet-50 and -101
PARTS = {'bnsa': 'BNSA', 'focalsiou': 'FocalSIoULoss', 'mbcedicels': 'MBCEDiceLovasz'}
# Below, configs without a part. Parts change neither the way through an empty batch nor the post-processing.
# Named by their parts; cells are named by what varies, the edge models by what they are for.
NAMED = [name for name in CONFIGS if not name.startswith(('ablation', 'edge'))]
PLAIN = [name for name in CONFIGS if name.startswith(MODELS_OF) and not set(PARTS) & set(Path(name).stem.split('_'))]
SMALL_BACKBONE = {
    'model.backbone.depth': 18,
    'model.backbone.base_channels': 16,
    'model.backbone.stem_channels': 16,
    'model.neck.in_channels': [16, 32, 64, 128],
}


def nested(value: object) -> Iterator[dict]:
    """All dictionaries within a config, the outermost first."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from nested(item)


@functools.cache
def read(name: str) -> Config:
    """A config that nobody changes."""
    return Config.fromfile(ROOT / name)


def build(name: str, **overrides) -> torch.nn.Module:
    """Model of a config with random weights; ``overrides`` are merged into the config first.

    Inference returns a few instances of whatever score, since a model without training is sure of none. What does not
    shrink with the image, SOLOv2's grids and the sampled RoIs, is made fewer. A large backbone keeps PyTorch's
    initialisation, since mmengine's takes seconds.
    """
    init_default_scope('mmdet')
    cfg = deepcopy(read(name))
    cfg.merge_from_dict(overrides)
    cfg.model.backbone.init_cfg = None
    for entry in nested(cfg.model.test_cfg):
        entry.update({key: value for key, value in ANY_SCORE.items() if key in entry})
    for entry in nested(cfg.model.get('train_cfg')):
        if 'num' in entry.get('sampler', {}):
            entry.sampler.num = 32
    if 'num_grids' in cfg.model.get('mask_head', {}):
        cfg.model.mask_head.num_grids = [n // 4 for n in cfg.model.mask_head.num_grids]
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for part in model.children():
        if isinstance(part, BaseModule) and (part is not model.backbone or name.startswith('quickstart/')):
            part.init_weights()
    return model


def tiny_batch(model: torch.nn.Module, counts: tuple[int, int] = (3, 0)) -> dict:
    """Two images for a model, with that many of three targets of different classes; half the camera's size.

    One is less high than the other. YOLACT, which takes images of one size only, gets both alike.
    """
    heights = (64, 64 if type(model).__name__ == 'YOLACT' else 48)
    channels = next(p for p in model.backbone.parameters() if p.dim() == 4).size(1)
    boxes = np.array([[4, 6, 30, 40], [32, 10, 60, 30], [10, 34, 40, 47]], dtype=np.float32)
    masks = np.zeros((3, 64, 64), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1 : y2 - 3, x1 + 2 : x2] = 1
    gen = torch.Generator().manual_seed(0)
    images, samples = [], []
    for count, height in zip(counts, heights, strict=True):
        meta = {'img_shape': (height, 64), 'ori_shape': (height * 2, 128), 'scale_factor': (0.5, 0.5)}
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(
            bboxes=torch.from_numpy(boxes[:count]),
            labels=torch.tensor([0, 1, 3])[:count],
            masks=BitmapMasks(masks[:count, :height], height, 64),
        )
        samples.append(sample)
        images.append(torch.randint(0, 256, (channels, height, 64), generator=gen, dtype=torch.uint8))
    return {'inputs': images, 'data_samples': samples}
