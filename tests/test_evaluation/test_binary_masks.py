"""Masks of probabilities reach no encoder, no picture and no measure."""

import pickle
from pathlib import Path

from mmdet_ir.analysis.errors.comparison import _as_coco
from mmdet_ir.analysis.images import _add_boxes
from mmdet_ir.binary_masks import binary_masks, check_mask_thresholds, encode_masks
from mmdet_ir.engine import IRVisualizationHook
from mmdet_ir.evaluation.dump import DumpBinaryMasks
from mmdet_ir.evaluation.ir_coco_metric import IRCocoMetric
from mmdet_ir.models.test_time_augs.tta import group_instances
from mmdet_ir.visualization.overlay import find_instances

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils
from torch import nn

INSIDE = np.zeros((2, 6, 8), bool)
INSIDE[0, 1:4, 2:6] = INSIDE[1, 3:, :3] = True
SOFT = {
    'probabilities': torch.from_numpy(np.where(INSIDE, 0.9, 0.02).astype(np.float32)),
    'logits': torch.from_numpy(np.where(INSIDE, 4.0, -4.0).astype(np.float32)),
    'bytes': torch.from_numpy(np.where(INSIDE, 230, 5).astype(np.uint8)),
}
HARD = {
    'bool': torch.from_numpy(INSIDE),
    'uint8': torch.from_numpy(INSIDE.astype(np.uint8)),
    'float32': torch.from_numpy(INSIDE.astype(np.float32)),
}


def found(masks: torch.Tensor) -> InstanceData:
    boxes = torch.tensor([[2.0, 1, 6, 4], [0, 3, 3, 6]])
    return InstanceData(bboxes=boxes, scores=torch.tensor([0.9, 0.8]), labels=torch.tensor([0, 1]), masks=masks)


def sample(masks: torch.Tensor) -> DetDataSample:
    return DetDataSample(metainfo={'img_id': 7, 'ori_shape': (6, 8)}, pred_instances=found(masks))


class Nothing:
    """Takes the place of a visualizer."""

    dataset_meta = None

    def add_datasample(self, *args: object, **kwargs: object) -> None:
        pass


def metric(masks: torch.Tensor) -> list:
    scorer = IRCocoMetric('none.json', metric='segm', format_only=True, outfile_prefix='x')
    scorer.process({}, [sample(masks).to_dict()])
    return scorer.results[0][1]['masks']


def dump(masks: torch.Tensor) -> list:
    saver = DumpBinaryMasks('x.pkl')
    saver.process({}, [sample(masks).to_dict()])
    return saver.results[0]['pred_instances']['masks']


def draw(masks: torch.Tensor) -> list:
    hook, shown = object.__new__(IRVisualizationHook), sample(masks)
    hook._visualizer, hook.show, hook.wait_time, hook.score_thr = Nothing(), False, 0, 0.3
    hook._add('a.png', np.zeros((6, 8, 3), np.uint8), shown, 0)
    return encode_masks(shown.pred_instances.masks)


def group(masks: torch.Tensor) -> list:
    group_instances(masks.numpy(), np.array([0.9, 0.8]), np.array([0, 1]), np.array([0, 0]), 0.5)
    return encode_masks(masks)


ROADS = {
    'encode_masks': encode_masks,
    'metric': metric,
    'dump': dump,
    'draw': draw,
    'group': group,
    'find_instances': lambda masks: [item.rle for item in find_instances(found(masks), np.zeros(2))],
    'comparison': lambda masks: [item['segmentation'] for item in _as_coco(found(masks).numpy())],
    'figures': lambda masks: encode_masks(_add_boxes(found(masks)).masks),
}


@pytest.fixture(autouse=True)
def _no_annotation_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    image = '{"id": 7, "width": 8, "height": 6, "file_name": "a.png"}'
    (tmp_path / 'none.json').write_text(
        f'{{"images": [{image}], "annotations": [], "categories": [{{"id": 1, "name": "car"}}]}}'
    )


@pytest.mark.parametrize('road', ROADS)
@pytest.mark.parametrize('kind', SOFT)
def test_soft_masks_are_refused(road: str, kind: str) -> None:
    masks = SOFT[kind].clone()
    lowest, highest = {'probabilities': (0.02, 0.9), 'logits': (-4, 4), 'bytes': (5, 230)}[kind]
    with pytest.raises(ValueError, match=rf'expected masks of 0 and 1, got .* from {lowest} to {highest}.*threshold'):
        ROADS[road](masks)


@pytest.mark.parametrize('road', ROADS)
@pytest.mark.parametrize('kind', HARD)
def test_masks_of_zeros_and_ones_keep_their_pixels(road: str, kind: str) -> None:
    decoded = np.array([mask_utils.decode(rle) for rle in ROADS[road](HARD[kind].clone())])
    np.testing.assert_array_equal(decoded, INSIDE)


def test_no_masks_are_binary() -> None:
    empty = torch.zeros(0, 6, 8)
    assert encode_masks(empty) == []
    assert binary_masks(empty).dtype == torch.bool
    assert binary_masks(np.zeros((3, 0, 0))).shape == (3, 0, 0)
    assert not binary_masks(np.zeros((1, 4, 4), np.uint8)).any()


class Part(nn.Module):
    def __init__(self, **test_cfg: object) -> None:
        super().__init__()
        self.test_cfg = ConfigDict(test_cfg)


@pytest.mark.parametrize('value', [-1, 0, 1, 1.5, 128, None, 'half', True])
def test_thresholds_that_make_no_pixels_are_refused_by_their_place(value: object) -> None:
    model = nn.Sequential(Part(rpn={'nms_pre': 9}, rcnn={'mask_thr_binary': 0.5}))
    check_mask_thresholds(model)
    model.append(Part(rcnn={'mask_thr_binary': value}))
    with pytest.raises(ValueError, match=r'model\.1\.test_cfg\.rcnn\.mask_thr_binary: expected a threshold between'):
        check_mask_thresholds(model)
    with pytest.raises(ValueError, match=r'model\.test_cfg\.mask_thr: expected a threshold between 0 and 1, got'):
        check_mask_thresholds(Part(mask_thr=value))


def test_the_file_has_its_own_name_alone(tmp_path):
    """What is said names the file that stays, and nothing else lies beside it."""
    out = tmp_path / 'found.pkl'
    DumpBinaryMasks(str(out)).compute_metrics([{'img_id': 1}])
    assert pickle.loads(out.read_bytes()) == [{'img_id': 1}]
    assert [file.name for file in tmp_path.glob('*found*')] == ['found.pkl']


def test_a_file_that_cannot_be_written_leaves_the_former_one(tmp_path):
    out = tmp_path / 'found.pkl'
    out.write_bytes(b'before')
    with pytest.raises((AttributeError, pickle.PicklingError), match='lambda'):
        DumpBinaryMasks(str(out)).compute_metrics([lambda: None])
    assert out.read_bytes() == b'before'
