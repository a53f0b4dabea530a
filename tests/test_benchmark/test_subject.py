"""The benchmark compares like with like, and the box loss balance measures what it says."""

import json
from pathlib import Path

from mmdet_ir.analysis.box_loss_balance import gradient_norm, positive_rois
from mmdet_ir.benchmark.mask_losses import LoopMaskLoss
from mmdet_ir.benchmark.subject import Subject, interleaved, make_batch, make_proposals
from mmdet_ir.models import MBCEDiceLovaszLoss

import pytest
import torch
from mmengine.registry import init_default_scope

REPO = Path(__file__).parents[2]


def test_the_loop_that_is_timed_computes_the_same_loss() -> None:
    gen = torch.Generator().manual_seed(0)
    pred = torch.randn(6, 3, 28, 28, generator=gen, requires_grad=True)
    target = (torch.rand(6, 28, 28, generator=gen) > 0.6).float()
    label = torch.tensor([0, 1, 2, 2, 1, 0])
    slow, fast = (loss(pred, target, label) for loss in (LoopMaskLoss(), MBCEDiceLovaszLoss()))
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(*(torch.autograd.grad(loss, pred)[0] for loss in (fast, slow)), rtol=1e-4, atol=1e-8)


def test_actions_take_turns_and_the_first_round_does_not_count() -> None:
    calls = []
    medians = interleaved({name: lambda n=name: calls.append(n) for name in 'ab'}, repeats=3, device='cpu')
    assert calls == ['a', 'b'] * 4 and set(medians) == {'a', 'b'}


def test_the_batch_has_tight_boxes_around_its_masks() -> None:
    batch = make_batch((160, 128), images=2, seed=3)
    assert [image.shape for image in batch['inputs']] == [(3, 128, 160)] * 2
    for sample in batch['data_samples']:
        instances = sample.gt_instances
        assert len(instances) > 0
        for box, mask in zip(instances.bboxes.int().tolist(), instances.masks.masks, strict=True):
            x1, y1, x2, y2 = box
            assert mask[y1:y2, x1:x2].sum() == mask.sum()
            assert mask[y1].any() and mask[y2 - 1].any() and mask[:, x1].any() and mask[:, x2 - 1].any()


def test_half_of_the_proposals_lie_around_targets() -> None:
    batch = make_batch((160, 128), images=2, seed=3)
    for sample, proposals in zip(batch['data_samples'], make_proposals(batch, 100, seed=0), strict=True):
        boxes = proposals.bboxes
        assert boxes.shape == (100, 4) and (boxes[:, 2:] > boxes[:, :2]).all()
        assert boxes.min() >= 0 and boxes[:, 2].max() <= 160 and boxes[:, 3].max() <= 128
        centres = (sample.gt_instances.bboxes[:, :2] + sample.gt_instances.bboxes[:, 2:]) / 2
        nearest = torch.cdist((boxes[:, :2] + boxes[:, 2:]) / 2, centres).min(1).values
        assert nearest[:50].median() < nearest[50:].median() / 2
        assert (proposals.scores.diff() < 0).all()


def test_gradient_of_smooth_l1_by_hand() -> None:
    # Target shifted by 1 px of a 20 px wide box: dx / w / 0.1 = 0.5, within SmoothL1's quadratic part, so the gradient
    # is 0.5; a shift of 4 px would be 2, in its linear part, gradient 1.
    rois = torch.tensor([[0.0, 0, 20, 10], [0, 0, 20, 10]])
    targets = rois + torch.tensor([[1.0, 0, 1, 0], [4, 0, 4, 0]])
    assert gradient_norm({'type': 'SmoothL1Loss'}, rois, targets) == pytest.approx((0.5 + 1) / 2, rel=1e-4)


def test_rois_overlap_their_targets(tmp_path: Path) -> None:
    boxes = [[10.0, 20.0, 30.0, 12.0], [100.0, 50.0, 8.0, 16.0], [0.0, 0.0, 0.0, 5.0]]
    annotations = [{'bbox': b, 'iscrowd': 0} for b in boxes] + [{'bbox': [0.0, 0.0, 500.0, 500.0], 'iscrowd': 1}]
    file = tmp_path / 'coco.json'
    file.write_text(json.dumps({'annotations': annotations}))
    rois, targets = positive_rois(file, count=50, seed=0)
    assert rois.shape == targets.shape == (50, 4)
    for (x1, y1, x2, y2), (a1, b1, a2, b2) in zip(rois.tolist(), targets.tolist(), strict=True):
        overlap = max(0, min(x2, a2) - max(x1, a1)) * max(0, min(y2, b2) - max(y1, b1))
        assert overlap / ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - overlap) >= 0.499
    assert {tuple(t) for t in targets.tolist()} == {(10.0, 20.0, 40.0, 32.0), (100.0, 50.0, 108.0, 66.0)}


@pytest.mark.parametrize('name', ['mask_rcnn_real', 'solov2_real', 'sparseinst_real'])
def test_the_threshold_is_the_highest_that_leaves_the_detections(name: str) -> None:
    """Also where NMS lowers the scores (SOLOv2), and where there are never so many detections (SparseInst has 50)."""
    init_default_scope('mmdet')
    batch = make_batch((160, 128), images=2, seed=3)
    subject = Subject(str(REPO / 'configs' / 'quickstart' / f'{name}.py'), 'cpu', make_proposals(batch, 60, seed=0))
    count, expected = (80, 50) if name == 'sparseinst_real' else (30, 30)
    threshold = subject.keep_detections(batch, count)
    scores = subject.inference(batch)
    assert len(scores) == expected
    if expected < count:
        assert threshold == 0
    else:
        for module in subject.model.modules():
            if 'score_thr' in (getattr(module, 'test_cfg', None) or {}):
                assert module.test_cfg.score_thr == threshold
                module.test_cfg.score_thr = threshold * 1.011
        assert 0 < len(subject.inference(batch)) < count


def test_scores_below_zero_have_a_threshold() -> None:
    """An untrained Mask Scoring R-CNN multiplies its scores by an IoU that may be negative."""
    init_default_scope('mmdet')
    batch = make_batch((160, 128), images=2, seed=3)
    config = REPO / 'configs' / 'quickstart' / 'mask_rcnn_real.py'
    subject = Subject(str(config), 'cpu', make_proposals(batch, 60, seed=0))
    stock = subject.inference
    subject.inference = lambda images: stock(images) - 0.4
    subject.keep_detections(batch, 30)
    scores = subject.inference(batch)
    assert len(scores) == 30 and (scores < 0).any()


def test_a_training_step_leaves_the_batch_as_it_was() -> None:
    """Others train on the same one; BoxInst's data preprocessor replaces the masks in place."""
    init_default_scope('mmdet')
    batch = make_batch((150, 128), images=1, seed=3)  # padded to 160
    subject = Subject(str(REPO / 'configs' / 'quickstart' / 'boxinst_real.py'), 'cpu', [])
    (sample,) = batch['data_samples']
    before = sample.gt_instances.masks.masks.copy()
    weights = subject.model.backbone.conv1.weight.detach().clone()
    subject.step(batch)
    assert not torch.equal(subject.model.backbone.conv1.weight, weights)
    assert sample.gt_instances.masks.masks.shape == (len(before), 128, 150)
    assert (sample.gt_instances.masks.masks == before).all()
    assert batch['inputs'][0].shape == (3, 128, 150)
