"""Parameters and multiply-adds against hand counts and the numbers that the paper printed."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from mmdet_ir.analysis.model_complexity import (
    TABLE4,
    count_batchnorm,
    count_parameters,
    inference_multiply_adds,
    multiply_adds,
    paper_parameters,
    parameter_counts,
    render_complexity,
    set_num_classes,
)

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

REPO = Path(__file__).parents[2]
ORDER = ['Mask R-CNN', 'BlendMask', 'CondInst', 'BoxInst', 'SOLOv2', 'SparseInst', 'ours']  # as in TABLE4
SMALL = REPO / 'configs' / 'quickstart' / 'mask_rcnn_real.py'


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.data_preprocessor = nn.Identity()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8))
        self.neck = nn.Conv2d(8, 16, (3, 1), groups=4, padding=(1, 0))
        self.roi_head = nn.ModuleDict({'bbox_head': nn.Linear(16, 5), 'mask_head': nn.ConvTranspose2d(16, 2, 2, 2)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.neck(self.backbone(x).relu())
        self.roi_head['mask_head'](x)
        scores = self.roi_head['bbox_head'](x.mean((2, 3)))
        return scores.T @ scores  # in no part


def test_multiply_adds_by_hand() -> None:
    counts = multiply_adds(Toy().eval(), torch.rand(2, 3, 12, 20))  # the backbone's map has 6x10 positions
    assert counts == {
        'backbone': 2 * 60 * 8 * (3 * 9),
        'neck': 2 * 60 * 16 * (2 * 3),  # each output channel reads 8 / 4 channels
        'roi_head.bbox_head': 2 * 16 * 5,
        'roi_head.mask_head': 2 * 60 * 16 * (2 * 4),  # each position writes 2x2 pixels of 2 channels
        'elsewhere': 5 * 2 * 5,
        'total': 2 * 60 * (216 + 96 + 128) + 160 + 50,
    }


def test_parameters_by_hand() -> None:
    toy = Toy()
    toy.neck.weight.requires_grad = False  # frozen ones count
    conv, norm, neck, linear, up = 8 * 3 * 9, 2 * 8, 16 * 2 * 3 + 16, 16 * 5 + 5, 16 * 2 * 4 + 2
    assert count_parameters(toy) == conv + norm + neck + linear + up
    assert count_batchnorm(toy) == norm
    toy.tied = toy.neck
    assert count_parameters(toy) == conv + norm + neck + linear + up


def test_every_number_of_classes_is_changed() -> None:
    model = {
        'type': 'X',
        'bbox_head': [{'num_classes': 4, 'semantic': {'num_classes': 5}}, {'loss': {'num_class': 3}}],
        'mask_head': {'num_classes': 4},
    }
    assert set_num_classes(model, 80) == 3
    assert model['bbox_head'] == [{'num_classes': 80, 'semantic': {'num_classes': 80}}, {'loss': {'num_class': 3}}]
    assert model['mask_head']['num_classes'] == 80


@cache
def count_model(config: str) -> dict:
    return parameter_counts(config)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict]:
    monkeypatch.chdir(REPO)
    init_default_scope('mmdet')
    return lambda key: count_model(TABLE4[key])


@pytest.mark.parametrize('key', ['mask_rcnn', 'blendmask', 'condinst', 'solov2'])
def test_the_papers_count_is_reproduced(counts: Callable[[str], dict], key: str) -> None:
    assert round(counts(key)['paper'] / 1e6, 3) == paper_parameters()[key]


def test_what_the_other_differences_are_made_of(counts: Callable[[str], dict]) -> None:
    """As docs/method/rivals.md explains them."""
    paper = paper_parameters()
    batchnorm, positions = 53120, 256 * 9 + 1  # of ResNet-50; a 3x3 convolution from 256 channels, for each output
    # AdelaiDet's mask head of 8 channels on 16 + 2: 233 weights to predict, MMDetection's of 16 channels: 593.
    assert 18 * 8 + 8 + 8 * 8 + 8 + 8 + 1 == 233 and 18 * 16 + 16 + 16 * 16 + 16 + 16 + 1 == 593
    assert round((counts('boxinst')['paper'] - (593 - 233) * positions) / 1e6, 3) == paper['boxinst']
    semantic = 256 * 9 * 128 + 128 * 9 * 128 + 2 * 2 * 128 + 128 * 80 + 80
    assert counts('condinst')['paper'] - parameter_counts('configs/baselines/condinst_r50_fpn.py')['paper'] == semantic
    # 4 classes instead of 80 in one fully connected layer, and batch normalisation counted.
    sparseinst = counts('sparseinst')
    assert round(sparseinst['as_trained'] / 1e6, 3) == paper['sparseinst']
    assert sparseinst['as_trained'] == sparseinst['paper'] - 76 * 257 + batchnorm
    # BNSA: for c channels four 1x1 and four 3x3 convolutions at a quarter of the width, each followed by BatchNorm.
    bnsa = sum(4 * c * c // 4 + 4 * 9 * (c // 4) ** 2 + 2 * 2 * (3 * c // 4 + c) for c in (512, 1024))
    ours, baseline = counts('ours'), counts('mask_rcnn')
    assert ours['paper'] - baseline['paper'] == ours['as_trained'] - baseline['as_trained'] == bnsa


def test_the_documented_numbers_are_those_of_the_models(counts: Callable[[str], dict]) -> None:
    text = (REPO / 'docs' / 'method' / 'rivals.md').read_text()
    rows = [line.split('|') for line in text.split('What the differences')[1].splitlines() if line.startswith('| ')]
    documented = {row[1].strip(): (float(row[2]), float(row[3])) for row in rows[1:]}
    assert len(documented) == len(TABLE4)
    for key, name in zip(TABLE4, ORDER, strict=True):
        assert documented[name] == (paper_parameters()[key], counts(key)['paper'] / 1e6), name


def test_inference_is_counted_with_1000_proposals_and_100_detections() -> None:
    init_default_scope('mmdet')
    counts = inference_multiply_adds(str(SMALL), (160, 128))
    box = 1000 * (64 * 49 * 256 + 256 * 256 + 256 * 5 + 256 * 4)
    convs, upsampling, logits = 2 * 14 * 14 * 64 * 64 * 9, 14 * 14 * 64 * 64 * 4, 28 * 28 * 64 * 4
    assert counts['roi_head.bbox_head'] == box
    assert counts['roi_head.mask_head'] == 100 * (convs + upsampling + logits)
    positions = sum((160 // s) * (128 // s) for s in (4, 8, 16, 32))
    assert counts['rpn_head'] == positions * (64 * 64 * 9 + 64 * 6 * 5)  # 2 scales and 3 ratios
    assert counts['total'] == sum(n for name, n in counts.items() if name != 'total')


def test_the_table_says_how_far_the_paper_is() -> None:
    row = {
        'config': 'configs/ir/some.py',
        'parameters': {'as_trained': 43_900_000, 'paper': 44_345_216, 'parts': {'backbone': 23_508_032}},
        'stated': 44.343,
        'multiply_adds': {'backbone': 26_340_000_000, 'elsewhere': 60_000_000, 'total': 26_400_000_000},
    }
    lines = render_complexity([row, {**row, 'stated': None}], markdown=True).splitlines()
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]
    parts = 'backbone 23.51 / 26.3, elsewhere 0.00 / 0.1'
    assert cells[2] == ['some', '44.343', '44.345', '+0.002', '43.900', '26.4', parts]
    assert cells[3] == ['some', '-', '44.345', '-', '43.900', '26.4', parts]
    assert len(render_complexity([row]).splitlines()) == 2


def test_the_papers_numbers_are_read() -> None:
    assert list(paper_parameters()) == list(TABLE4)
    assert paper_parameters()['sparseinst'] == 31.618


OTHERS = {
    'yolox/yolox_tiny_8xb8-300e_coco.py': 'dict(bbox_head=dict(num_classes=4))',
    'detr/detr_r50_8xb2-150e_coco.py': 'dict(backbone=dict(depth=18), neck=dict(in_channels=[512]))',
}


@pytest.mark.parametrize('base', OTHERS)
def test_detectors_of_mmdetection(base: str, tmp_path: Path) -> None:
    """YOLOX normalises nothing, and DETR's head changes its own config."""
    config = tmp_path / 'own.py'
    config.write_text(f"_base_ = 'mmdet::{base}'\nmodel = {OTHERS[base]}\n")
    init_default_scope('mmdet')
    model = Config.fromfile(config).model
    model.backbone.init_cfg = None
    expected = sum(parameter.numel() for parameter in MODELS.build(model).parameters())
    assert parameter_counts(str(config))['as_trained'] == expected
    assert inference_multiply_adds(str(config), (96, 64))['backbone'] > 0
