"""Masks of SAM from boxes, with a tiny model of random weights: the loading, the prompts and what becomes of them."""

import json
import sys
from pathlib import Path

from mmdet_ir.apis.derive_masks import derive_masks
from mmdet_ir.apis.sam_masks import SamInBoxes

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

SIDE, HEIGHT, WIDTH = 64, 48, 96
BOXES = np.array([[10.0, 8, 40, 30], [50, 12, 90, 44]])


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as ``save_pretrained`` writes it."""
    transformers = pytest.importorskip('transformers')
    torch.manual_seed(0)
    vision = {'hidden_size': 32, 'output_channels': 16, 'num_hidden_layers': 1, 'num_attention_heads': 2}
    vision |= {'image_size': SIDE, 'patch_size': 16, 'window_size': 2, 'global_attn_indexes': [0], 'mlp_dim': 32}
    vision |= {'num_pos_feats': 8}
    prompts = {'hidden_size': 16, 'image_size': SIDE, 'patch_size': 16, 'mask_input_channels': 4}
    decoder = {'hidden_size': 16, 'num_attention_heads': 2, 'mlp_dim': 32, 'iou_head_hidden_dim': 16}
    decoder |= {'num_hidden_layers': 1, 'iou_head_depth': 2}
    config = transformers.SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    folder = tmp_path_factory.mktemp('sam')
    transformers.SamModel(config).save_pretrained(folder)
    settings = {'size': {'longest_edge': SIDE}, 'pad_size': {'height': SIDE, 'width': SIDE}}
    transformers.SamProcessor(transformers.SamImageProcessor(**settings)).save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    counts = np.full((HEIGHT, WIDTH), 7000, np.uint16) + np.arange(WIDTH, dtype=np.uint16) * 5
    for x0, y0, x1, y1 in BOXES.astype(int):
        counts[y0:y1, x0:x1] += 900
    (tmp_path / 'images').mkdir()
    cv2.imwrite(str(tmp_path / 'images' / 'a.png'), counts)
    annotations = [
        {'id': i, 'image_id': 1, 'category_id': 1, 'bbox': [x0, y0, x1 - x0, y1 - y0], 'area': 1, 'iscrowd': 0}
        for i, (x0, y0, x1, y1) in enumerate(BOXES.tolist(), start=1)
    ]
    images = [{'id': 1, 'file_name': 'a.png', 'width': WIDTH, 'height': HEIGHT}]
    content = {'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'fox'}]}
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    return tmp_path


def test_masks_are_those_of_the_model(weights: Path, data: Path) -> None:
    """The logits of the model, scaled by hand: padding away, then to the size of the image."""
    sam = SamInBoxes(weights, 'cpu')
    kept = {}
    sam.model.mask_decoder.register_forward_hook(lambda module, inputs, outputs: kept.update(logits=outputs[0]))
    sam.model.prompt_encoder.register_forward_pre_hook(
        lambda module, inputs, options: kept.update(boxes=options['input_boxes']), with_kwargs=True
    )
    masks, ious = sam({'img_path': str(data / 'images' / 'a.png')}, BOXES, np.zeros(2))
    assert masks.shape == (2, HEIGHT, WIDTH) and masks.dtype == bool
    assert kept['boxes'].numpy()[0] == pytest.approx(BOXES * SIDE / WIDTH, abs=1e-3)  # 96 pixels become 64
    logits = functional.interpolate(kept['logits'][0], (SIDE, SIDE), mode='bilinear')[..., : HEIGHT * SIDE // WIDTH, :]
    expected = functional.interpolate(logits, (HEIGHT, WIDTH), mode='bilinear')[:, 0] > 0
    assert (masks == expected.numpy()).all()
    for mask, iou, (x0, y0, x1, y1) in zip(masks, ious, BOXES, strict=True):
        if not mask.any():
            assert iou == 0
            continue
        rows, columns = np.nonzero(mask)
        a = np.zeros((HEIGHT, WIDTH), bool)
        b = a.copy()
        a[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        b[int(y0) : int(y1), int(x0) : int(x1)] = True
        assert iou == pytest.approx((a & b).sum() / (a | b).sum())


def test_a_coco_file_gets_masks(weights: Path, data: Path) -> None:
    """With any overlap accepted, masks of SAM are taken; else the threshold takes their place, and is named."""
    for min_iou in (1e-6, 1.0):
        counts = derive_masks(
            data / 'boxes.json',
            data / 'images',
            data / 'out.json',
            'sam',
            sam=weights,
            min_iou=min_iou,
            overwrite=True,
        )
        assert counts.methods.total() == 2
        for annotation in json.loads((data / 'out.json').read_text())['annotations']:
            x0, y0, x1, y1 = BOXES[annotation['id'] - 1]
            points = np.concatenate([np.reshape(part, (-1, 2)) for part in annotation['segmentation']])
            assert annotation['mask_source'] == 'derived'
            assert (points >= [x0, y0]).all() and (points <= [x1, y1]).all()
        assert sum(counts.fallbacks.values()) == sum(n for (_, m), n in counts.methods.items() if m != 'sam')


def test_what_is_missing_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (data / 'boxes.json', data / 'images', data / 'out.json')
    with pytest.raises(ValueError, match='expected weights of SAM with method "sam" and only then'):
        derive_masks(*arguments, 'sam')
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(ImportError, match=r'--sam: .* pip install transformers'):
        SamInBoxes('somewhere')
