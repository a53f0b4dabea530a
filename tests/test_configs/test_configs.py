"""Every config is built and takes a training step and an inference at tiny size."""

from pathlib import Path

import mmdet_ir

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

ROOT = Path(__file__).parents[2] / 'configs'
CONFIGS = sorted(f'{folder}/{p.name}' for folder in ('ir', 'quickstart') for p in (ROOT / folder).glob('*.py'))
ENDS = ['ir/mask_rcnn.py', 'ir/mask_rcnn_bnsa_focalsiou_mbcedicels.py', 'quickstart/mask_rcnn_synthetic.py']
PARTS = {'bnsa', 'focalsiou', 'mbcedicels'}


def build(name: str, **overrides) -> torch.nn.Module:
    """Model of a config with random weights; ``overrides`` are merged into the config first."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(ROOT / name)
    cfg.merge_from_dict(overrides)
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def tiny_batch() -> dict:
    """Two 64x64 images, one with three targets of different classes and one with none."""
    boxes = np.array([[4, 6, 30, 40], [32, 10, 60, 30], [10, 44, 40, 60]], dtype=np.float32)
    masks = np.zeros((3, 64, 64), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int), strict=True):
        mask[y1 : y2 - 3, x1 + 2 : x2] = 1
    samples = []
    for count in (3, 0):
        sample = DetDataSample(metainfo={'img_shape': (64, 64), 'ori_shape': (64, 64), 'scale_factor': (1.0, 1.0)})
        sample.gt_instances = InstanceData(
            bboxes=torch.from_numpy(boxes[:count]),
            labels=torch.tensor([0, 1, 3])[:count],
            masks=BitmapMasks(masks[:count], 64, 64),
        )
        samples.append(sample)
    gen = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, 64, 64), generator=gen, dtype=torch.uint8) for _ in range(2)]
    return {'inputs': images, 'data_samples': samples}


@pytest.mark.parametrize('name', CONFIGS)
def test_every_trainable_parameter_gets_a_finite_gradient(name: str) -> None:
    model = build(name).train()
    data = model.data_preprocessor(tiny_batch(), training=True)
    loss, logs = model.parse_losses(model(**data, mode='loss'))
    assert {'loss_cls', 'loss_bbox', 'loss_mask'} <= set(logs) and torch.isfinite(loss)
    loss.backward()
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    broken = [n for n, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    assert not missing and not broken


@pytest.mark.parametrize('name', ENDS)
def test_images_without_any_target_train(name: str) -> None:
    model = build(name).train()
    batch = tiny_batch()
    batch['data_samples'][0] = batch['data_samples'][1]
    loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, training=True), mode='loss'))
    loss.backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert torch.isfinite(loss) and grads and all(torch.isfinite(g).all() for g in grads)


@pytest.mark.parametrize('name', ENDS)
def test_inference_returns_masks_of_the_images_size(name: str) -> None:
    model = build(name).eval()
    with torch.inference_mode():
        results = model(**model.data_preprocessor(tiny_batch(), training=False), mode='predict')
    for result in results:
        instances = result.pred_instances
        assert instances.masks.shape[1:] == (64, 64) and len(instances.masks) == len(instances.bboxes)
        assert set(instances.labels.tolist()) <= set(range(4))


@pytest.mark.parametrize('name', CONFIGS)
def test_the_name_says_which_parts_are_in(name: str) -> None:
    cfg = Config.fromfile(ROOT / name)
    head = cfg.model.roi_head
    box_head = head.bbox_head
    found = {
        'bnsa': cfg.model.neck.get('plugin', {}).get('type') == 'BNSA',
        'focalsiou': box_head.loss_bbox.type == 'FocalSIoULoss' and box_head.reg_decoded_bbox,
        'mbcedicels': head.mask_head.loss_mask.type == 'MBCEDiceLovaszLoss',
    }
    assert {part for part, is_in in found.items() if is_in} == PARTS & set(Path(name).stem.split('_'))


def test_all_eight_combinations_exist() -> None:
    combinations = {frozenset(PARTS & set(Path(n).stem.split('_'))) for n in CONFIGS if n.startswith('ir/mask_rcnn')}
    assert len(combinations) == 8


def paper_count(model: torch.nn.Module) -> int:
    """Parameters as the paper counts them: BatchNorm of the backbone left out."""
    norms = sum(
        p.numel() for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters()
    )
    return sum(p.numel() for p in model.parameters()) - norms


def test_parameters_equal_the_papers() -> None:
    """With 80 classes: 44.343 M (Table 4) for the baseline; the parts add Eq. 4's convolutions and their norms."""
    heads = {'model.roi_head.bbox_head.num_classes': 80, 'model.roi_head.mask_head.num_classes': 80}
    assert paper_count(build('ir/mask_rcnn.py', **heads)) == 44_343_216
    full = paper_count(build('ir/mask_rcnn_bnsa_focalsiou_mbcedicels.py', **heads))
    assert full - 44_343_216 == 4_270_592


def test_class_agnostic_mask_head_takes_the_mask_loss() -> None:
    name = 'quickstart/mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic.py'
    model = build(name, **{'model.roi_head.mask_head.class_agnostic': True}).train()
    data = model.data_preprocessor(tiny_batch(), training=True)
    losses = model(**data, mode='loss')
    losses['loss_mask'].backward()
    assert model.roi_head.mask_head.conv_logits.weight.grad.abs().sum() > 0


def test_datasets_of_the_configs_are_registered() -> None:
    for name in CONFIGS:
        cfg = Config.fromfile(ROOT / name)
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            dataset = loader.dataset.get('dataset', loader.dataset)  # within a wrapper that resamples
            assert DATASETS.get(dataset.type) is mmdet_ir.datasets.IRDataset
            assert dataset.data_root.endswith('/')
        assert cfg.val_evaluator.ann_file == cfg.val_dataloader.dataset.data_root + cfg.val_dataloader.dataset.ann_file
