"""The method's own configs."""

from pathlib import Path

import pytest
import torch
from building import NAMED, PARTS, build, read, tiny_batch

MASK_RCNN = [name for name in NAMED if Path(name).stem.startswith('mask_rcnn')]


@pytest.mark.parametrize('name', MASK_RCNN)
def test_the_parts_sit_where_the_paper_has_them(name: str) -> None:
    cfg = read(name)
    head = cfg.model.roi_head
    box_head = head.bbox_head
    found = {
        'bnsa': cfg.model.neck.get('plugin', {}).get('type') == 'BNSA',
        'focalsiou': box_head.loss_bbox.type == 'FocalSIoULoss' and box_head.reg_decoded_bbox,
        'mbcedicels': head.mask_head.loss_mask.type == 'MBCEDiceLovaszLoss',
    }
    assert {part for part, is_in in found.items() if is_in} == set(PARTS) & set(Path(name).stem.split('_'))


def test_all_eight_combinations_exist() -> None:
    combinations = {frozenset(set(PARTS) & set(Path(n).stem.split('_'))) for n in MASK_RCNN if n.startswith('ir/')}
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
    losses = model(**model.data_preprocessor(tiny_batch(model), training=True), mode='loss')
    losses['loss_mask'].backward()
    assert model.roi_head.mask_head.conv_logits.weight.grad.abs().sum() > 0
