"""FineSOLOV2Head against MMDetection's head, and against targets that are drawn by hand."""

import copy

from mmdet_ir.models import FineSOLOV2Head

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import SOLOV2Head
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

SIZE = 64
HEAD = {  # (MMDetection's head changes the settings of its mask feature)
    'num_classes': 2,
    'in_channels': 8,
    'feat_channels': 32,
    'stacked_convs': 1,
    'num_grids': [4],
    'strides': [1],
    'scale_ranges': ((1, 64),),
    'cls_down_index': 0,
    'loss_mask': {'type': 'DiceLoss', 'use_sigmoid': True, 'loss_weight': 3.0},
    'loss_cls': {'type': 'FocalLoss', 'use_sigmoid': True, 'loss_weight': 1.0},
    'mask_feature_head': {
        'feat_channels': 16,
        'out_channels': 4,
        'start_level': 0,
        'end_level': 0,
        'mask_stride': 4,
        'norm_cfg': {'type': 'GN', 'num_groups': 4, 'requires_grad': True},
    },
    'test_cfg': ConfigDict(
        nms_pre=500, score_thr=0.1, mask_thr=0.5, filter_thr=0.05, kernel='gaussian', sigma=2.0, max_per_img=10
    ),
}


def heads(upsample: int) -> tuple[SOLOV2Head, FineSOLOV2Head]:
    torch.manual_seed(3)
    stock = SOLOV2Head(**copy.deepcopy(HEAD)).eval()
    fine = FineSOLOV2Head(**copy.deepcopy(HEAD), mask_upsample=upsample).eval()
    fine.load_state_dict(stock.state_dict())  # no parameter of its own
    return stock, fine


@pytest.mark.parametrize(('upsample', 'stride'), [(1, 4), (2, 2), (4, 1)])
def test_logits_are_those_of_the_stock_head_enlarged(upsample: int, stride: int) -> None:
    stock, fine = heads(upsample)
    level = [torch.randn(2, 8, SIZE // 4, SIZE // 4)]
    with torch.no_grad():
        (kernels,), (classes,), feature = stock(level)
        (same_kernels,), (same_classes,), finer = fine(level)
    torch.testing.assert_close(same_kernels, kernels)
    torch.testing.assert_close(same_classes, classes)
    assert fine.mask_stride == stride and finer.shape[-2:] == (SIZE // stride, SIZE // stride)
    one = kernels[0, :, 1, 2].view(1, -1, 1, 1)
    coarse, logits = F.conv2d(feature[:1], one), F.conv2d(finer[:1], one)
    expected = F.interpolate(coarse, scale_factor=upsample, mode='bilinear', align_corners=False)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


def test_a_tiny_target_has_four_times_as_many_cells() -> None:
    """4x4 pixels on even places: one cell of stride 4, four of stride 2."""
    mask = torch.zeros(1, SIZE, SIZE, dtype=torch.uint8)
    mask[0, 20:24, 32:36] = 1
    target = InstanceData(
        bboxes=torch.tensor([[32.0, 20, 36, 24]]),
        labels=torch.tensor([1]),
        masks=BitmapMasks(mask.numpy(), SIZE, SIZE),
    )
    cells = []
    for head in heads(2):
        side = SIZE // head.mask_stride
        masks = head._get_targets_single(target, featmap_sizes=(side, side))[0][0]
        (drawn,) = masks.unique(dim=0)
        cells.append(drawn.nonzero().tolist())
    assert cells == [[[5, 8]], [[10, 16], [10, 17], [11, 16], [11, 17]]]


def test_a_mask_is_found_where_it_is() -> None:
    """The feature's first channel is the mask, and the kernel of one cell takes that channel."""
    _, head = heads(2)
    feature = torch.full((4, SIZE // 2, SIZE // 2), -9.0)
    feature[0, 10:12, 16:20] = 9.0  # rows 20 to 23, columns 32 to 39 of the image
    kernels, scores = torch.zeros(16, 4), torch.zeros(16, 2)
    kernels[6, 0], scores[6, 1] = 1.0, 0.9
    meta = {'img_shape': (SIZE, SIZE), 'ori_shape': (SIZE, SIZE)}
    found = head._predict_by_feat_single(kernels, scores, feature[None], img_meta=meta)
    assert found.labels.tolist() == [1]
    rows, columns = found.masks[0].nonzero().unbind(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 23, 32, 39)


@pytest.mark.parametrize('upsample', [0, 3, 8])
def test_a_stride_that_is_no_whole_number_is_refused(upsample: int) -> None:
    with pytest.raises(ValueError, match='mask_upsample: expected a divisor of the stride of the mask feature, 4'):
        FineSOLOV2Head(**copy.deepcopy(HEAD), mask_upsample=upsample)
