"""Box losses that cannot work are refused when the model is built, in any head; stock models are not."""

from pathlib import Path

from mmdet_ir.engine.fitting.model_checks import check_box_losses, check_class_counts

import mmdet
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor, nn

ZOO = Path(mmdet.__file__).parent / '.mim' / 'configs'
BOX = [8.0, 8.0, 40.0, 56.0]  # of the target, xyxy in pixels
BOXES = {'type': 'GIoULoss'}
DISTANCES = {'type': 'SmoothL1Loss'}
# Heads of MMDetection's own configs, and whether their loss compares boxes.
STOCK = {
    'retinanet/retinanet_r50_fpn_1x_coco.py': False,
    'fsaf/fsaf_r50_fpn_1x_coco.py': True,
    'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py': True,
    'atss/atss_r50_fpn_1x_coco.py': True,
    'gfl/gfl_r50_fpn_1x_coco.py': True,
    'foveabox/fovea_r50_fpn_4xb4-1x_coco.py': False,
    'ddod/ddod_r50_fpn_1x_coco.py': True,
    'tood/tood_r50_fpn_1x_coco.py': True,
    'rtmdet/rtmdet_tiny_8xb32-300e_coco.py': True,
    'yolox/yolox_tiny_8xb8-300e_coco.py': True,
    'free_anchor/freeanchor_r50_fpn_1x_coco.py': False,
}


@pytest.fixture(autouse=True)
def scope() -> None:
    init_default_scope('mmdet')


class Spy(nn.Module):
    """Stands for a loss and keeps what it gets as targets."""

    def __init__(self, reduction: str) -> None:
        super().__init__()
        self.loss_weight, self.reduction, self.targets = 1.0, reduction, []

    def forward(self, pred: Tensor, target: Tensor, *args: object, **kwargs: object) -> Tensor:
        self.targets += target.detach().reshape(-1, 4).tolist()
        return pred.sum(-1) * 0 if (kwargs.get('reduction_override') or self.reduction) == 'none' else pred.sum() * 0


def stock_head(name: str) -> nn.Module:
    model = Config.fromfile(ZOO / name).model
    return MODELS.build({**model.bbox_head, 'train_cfg': model.get('train_cfg'), 'test_cfg': model.test_cfg})


@pytest.mark.parametrize('name', STOCK)
def test_what_a_head_gives_its_loss_is_what_the_check_expects(name: str) -> None:
    """The head itself tells: with a target in the image, it hands its loss the box in pixels, or something else."""
    head = nn.Module()
    head.bbox_head = stock_head(name)
    check_box_losses(head)
    other = MODELS.build(DISTANCES if STOCK[name] else BOXES)
    spy = Spy(head.bbox_head.loss_bbox.reduction)
    head.bbox_head.loss_bbox = other
    with pytest.raises(ValueError, match=r'model\.bbox_head\.loss_bbox'):
        check_box_losses(head)
    head.bbox_head.loss_bbox = spy
    MessageHub.get_current_instance().update_info('epoch', 100)  # (TOOD asks for it)
    if name.startswith('free_anchor'):
        return  # (its targets come in another layout)
    strides = [s if isinstance(s, int) else s[0] for s in head.bbox_head.prior_generator.strides]
    torch.manual_seed(0)
    features = [torch.randn(1, head.bbox_head.in_channels, -(-64 // s), -(-64 // s)) for s in strides]
    sample = DetDataSample(metainfo={'img_shape': (64, 64), 'pad_shape': (64, 64), 'batch_input_shape': (64, 64)})
    sample.gt_instances = InstanceData(bboxes=torch.tensor([BOX]), labels=torch.tensor([0]))
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    head.bbox_head.loss(features, [sample])
    assert spy.targets
    scales = [1, *strides]  # (some heads count in cells of their level)
    boxes = [torch.tensor(BOX) / scale for scale in scales]
    is_box = [torch.allclose(torch.tensor(target), box, atol=1e-3) for target in spy.targets for box in boxes]
    assert any(is_box) == STOCK[name]


def roi_head(loss: dict, decoded: bool) -> nn.Module:
    settings = {'in_channels': 8, 'fc_out_channels': 8, 'roi_feat_size': 7, 'num_classes': 4}
    head = MODELS.build({'type': 'Shared2FCBBoxHead', **settings, 'loss_bbox': loss, 'reg_decoded_bbox': decoded})
    return nn.ModuleDict({'roi_head': nn.ModuleDict({'bbox_head': head})})


@pytest.mark.parametrize(
    'kind', ['GIoULoss', 'IoULoss', 'BoundedIoULoss', 'SIoULoss', 'FocalSIoULoss', 'FocalEIoULoss']
)
def test_a_loss_of_boxes_needs_decoded_boxes(kind: str) -> None:
    check_box_losses(roi_head({'type': kind}, decoded=True))
    expected = rf'model\.roi_head\.bbox_head\.loss_bbox: {kind} compares boxes.*set reg_decoded_bbox=True beside it'
    with pytest.raises(ValueError, match=expected):
        check_box_losses(roi_head({'type': kind}, decoded=False))


@pytest.mark.parametrize('kind', ['SmoothL1Loss', 'L1Loss', 'BalancedL1Loss'])
def test_a_loss_of_distances_needs_boxes_that_are_not_decoded(kind: str) -> None:
    check_box_losses(roi_head({'type': kind}, decoded=False))
    with pytest.raises(ValueError, match=rf'{kind} compares distances from priors.*set reg_decoded_bbox=False'):
        check_box_losses(roi_head({'type': kind}, decoded=True))


def test_every_head_of_a_model_is_looked_at() -> None:
    """The RPN, and each stage of a cascade by its number."""
    rpn = MODELS.build({'type': 'RPNHead', 'in_channels': 8, 'feat_channels': 8, 'loss_bbox': BOXES})
    stages = nn.ModuleList([roi_head(BOXES, done)['roi_head']['bbox_head'] for done in (True, False)])
    model = nn.ModuleDict({'rpn_head': rpn, 'roi_head': nn.ModuleDict({'bbox_head': stages})})
    with pytest.raises(ValueError, match=r'model\.rpn_head\.loss_bbox.*; model\.roi_head\.bbox_head\[1\]\.loss_bbox'):
        check_box_losses(model)


@pytest.mark.parametrize('name', ['sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py', 'detr/detr_r50_8xb2-150e_coco.py'])
def test_heads_with_a_loss_of_either_kind_are_left_alone(name: str) -> None:
    model = Config.fromfile(ZOO / name).model
    if 'roi_head' in model:
        heads = [MODELS.build(entry) for entry in model.roi_head.bbox_head[:1]]
    else:
        heads = [MODELS.build({**model.bbox_head, 'test_cfg': ConfigDict(model.test_cfg)})]
    check_box_losses(nn.ModuleList(heads))


def test_classes_of_parts_that_have_their_own_do_not_count() -> None:
    rpn = MODELS.build({'type': 'RPNHead', 'in_channels': 8, 'feat_channels': 8})
    backbone = nn.Linear(1, 1)
    backbone.num_classes = 1000
    model = nn.ModuleDict({'backbone': backbone, 'rpn_head': rpn, **roi_head(BOXES, True)})
    check_class_counts(model, ('a', 'b', 'c', 'd'), 'test_dataloader.dataset')
    with pytest.raises(ValueError, match=r'got model\.roi_head\.bbox_head\.num_classes=4; set'):
        check_class_counts(model, ('a', 'b'), 'test_dataloader.dataset')
