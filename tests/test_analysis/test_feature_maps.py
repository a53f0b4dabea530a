"""Feature maps before and after a neck's plugins: what is captured, measured and chosen."""

import json

from mmdet_ir.analysis.features.feature_map_figure import draw_feature_maps
from mmdet_ir.analysis.features.feature_maps import (
    Frame,
    Stage,
    box_region,
    capture_stages,
    choose_channels,
    contrast,
    deviation,
    measure_response,
)
from mmdet_ir.datasets.ir_dataset import IRDataset
from mmdet_ir.models import PluginFPN

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.backbones import ResNet
from mmdet.models.necks import FPN
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import save_checkpoint
from torch import nn

CHANNELS = [8, 16, 32, 64]


@MODELS.register_module()
class InPlaceGain(nn.Module):
    """Plugin that multiplies its input in place; a gain of 1 changes nothing."""

    _abbr_ = 'gain'

    def __init__(self, in_channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x):
        return x.mul_(self.gain)


class Detector(nn.Module):
    """As much of a detector as is run."""

    def __init__(self, neck):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = ResNet(18, base_channels=8, stem_channels=8)
        self.neck = neck
        self.backbone.eval()  # MMDetection's returns nothing
        self.neck.eval()

    def extract_feat(self, x):
        return self.neck(self.backbone(x))


def captured(neck):
    model = Detector(neck)
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        direct = [maps[0] for maps in model.backbone(image)]
    stages = capture_stages(model, image)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.neck.modules())
    return stages, direct


@pytest.mark.parametrize('gain', [1.0, 3.0])
def test_captures_what_enters_and_what_leaves_the_plugins(gain):
    plugin = {'type': 'InPlaceGain', 'gain': gain}
    stages, direct = captured(PluginFPN(CHANNELS, 8, 4, plugin=plugin, plugin_stages=(1, 2)))
    assert [stage.name for stage in stages] == ['C2', 'C3', 'C4', 'C5']
    assert [stage.plugin for stage in stages] == [None, 'InPlaceGain', 'InPlaceGain', None]
    for index, (stage, expected) in enumerate(zip(stages, direct, strict=True)):
        torch.testing.assert_close(stage.before, expected, rtol=0, atol=0)
        if index in (1, 2):
            torch.testing.assert_close(stage.after, gain * expected, rtol=0, atol=0)
        else:
            assert stage.after is None


def test_neck_without_plugins_and_unread_stage():
    stages, direct = captured(FPN(CHANNELS, 8, 4, start_level=1))
    assert [(stage.plugin, stage.read) for stage in stages] == [
        (None, False),
        (None, True),
        (None, True),
        (None, True),
    ]
    torch.testing.assert_close(stages[3].before, direct[3], rtol=0, atol=0)


def test_plugins_within_a_compound_neck():
    inner = PluginFPN(CHANNELS, 8, 4, plugin={'type': 'InPlaceGain', 'gain': 2.0}, plugin_stages=(3,))
    stages, direct = captured(nn.Sequential(inner, nn.Identity()))
    torch.testing.assert_close(stages[3].after, 2 * direct[3], rtol=0, atol=0)


def test_broken_models_are_named():
    with pytest.raises(ValueError, match='expected a model with a neck, got Linear without one'):
        capture_stages(nn.Linear(1, 1), torch.zeros(1, 3, 8, 8))
    gain = {'type': 'InPlaceGain', 'gain': float('nan')}
    with pytest.raises(ValueError, match='C3 after the plugin: expected finite numbers'):
        captured(PluginFPN(CHANNELS, 8, 4, plugin=gain, plugin_stages=(1,)))


# A map of 2x3 cells of which the first is a target, the second half of one.
INSIDE = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
OUTSIDE = 1 - INSIDE
MAPS = torch.tensor(
    [
        [[6.0, 3.0, 1.0], [1.0, 1.0, 1.0]],  # target (6 + 1.5) / 1.5 = 5, background (1.5 + 4) / 4.5 = 11 / 9
        [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]],
        [[0.0, 0.0, 9.0], [0.0, 0.0, 0.0]],  # target 0, background 2
        [[4.0, 0.0, 0.0], [0.0, 0.0, 0.0]],  # target 8 / 3, background 0
    ]
)


def test_response_ratio():
    found = measure_response(MAPS, INSIDE, OUTSIDE)
    assert [numbers['max'] for numbers in found] == [6, 2, 9, 4]
    assert [numbers['target'] for numbers in found] == pytest.approx([5, 2, 0, 8 / 3])
    assert [numbers['background'] for numbers in found] == pytest.approx([11 / 9, 2, 2, 0])
    assert [numbers['ratio'] for numbers in found[:3]] == pytest.approx([45 / 11, 1, 0])
    assert found[3]['ratio'] is None  # nothing to divide by
    unknown = measure_response(MAPS, 0 * INSIDE, OUTSIDE)
    assert unknown[0] == {'max': 6.0, 'target': None, 'background': None, 'ratio': None}


def test_contrast_is_in_standard_deviations_of_the_channel():
    spread = MAPS.double().numpy().reshape(4, -1).std(axis=1)
    expected = np.array([5 - 11 / 9, 0, -2, 8 / 3]) / np.where(spread > 0, spread, 1)
    np.testing.assert_allclose(contrast(MAPS, INSIDE, OUTSIDE), expected)
    np.testing.assert_allclose(contrast(100 * MAPS, INSIDE, OUTSIDE), expected)  # no gain in it
    third = torch.full((1, 2, 3), 1 / 3)  # its mean is rounded
    assert contrast(third, INSIDE, OUTSIDE).tolist() == [0]


def test_channels_are_chosen_by_both_sides_alike():
    # contrasts are 2.0, 0, less than 0 and 1.8 before, 1.8, 2.0, less than 0 and 0 after; means 1.9, 1.0, < 0, 0.9
    after = MAPS[[3, 0, 2, 1]]
    score = contrast(MAPS, INSIDE, OUTSIDE).tolist()
    mean = [(score[a] + score[b]) / 2 for a, b in ((0, 3), (1, 0), (2, 2), (3, 1))]
    chosen, scores = choose_channels(Stage('C3', -MAPS, after), INSIDE, OUTSIDE, 3)  # the sign does not matter
    assert chosen == [0, 1, 3]
    assert scores == pytest.approx([mean[c] for c in chosen])
    assert choose_channels(Stage('C3', MAPS), INSIDE, OUTSIDE, 9)[0] == sorted(range(4), key=lambda c: -score[c])


def test_channels_without_targets_have_the_largest_deviation():
    none, everywhere = torch.zeros_like(INSIDE), torch.ones_like(INSIDE)
    spread = MAPS.double().numpy().reshape(4, -1).std(axis=1)
    np.testing.assert_allclose(deviation(MAPS, everywhere), spread)
    gains = torch.tensor([1.0, 1.0, 0.0, 7.0]).view(4, 1, 1)
    expected = np.sqrt(spread * spread * gains.flatten().numpy())
    chosen, scores = choose_channels(Stage('C3', MAPS, MAPS * gains), none, everywhere, 2)
    assert chosen == np.argsort(-expected)[:2].tolist() == [3, 0]
    np.testing.assert_allclose(scores, expected[chosen], rtol=1e-6)


def test_cells_are_weighted_by_area_and_padding_counts_for_neither():
    # a file of 8x12 shown twice as large, padded to 32x32; cells of 8x8 input pixels are 4x4 of the file
    frame = Frame.of({'ori_shape': (8, 12), 'scale_factor': (2.0, 2.0)}, (32, 32))
    region = box_region([(4, 0, 4, 4), (0, 4, 2, 4)], (8, 12))  # one cell, and half of one
    inside, outside = frame.weights(region, (4, 4))
    valid = np.zeros((4, 4))
    valid[:2, :3] = 1
    expected = np.zeros((4, 4))
    expected[0, 1], expected[1, 0] = 1, 0.5
    np.testing.assert_allclose(inside + outside, valid)
    np.testing.assert_allclose(inside, expected)
    # a file twice as large as the model sees it, with a target of one pixel: a quarter of an input pixel out of 64
    small, _ = Frame((32, 48), (16, 24), (32, 32)).weights(box_region([(47, 0, 1, 1)], (32, 48)), (4, 4))
    assert small[0, 2] == 1 / 256 and small.sum() == 1 / 256


def test_maps_are_enlarged_to_the_file_without_padding_or_shift():
    frame = Frame((10, 20), (20, 40), (32, 64))
    x = torch.arange(16).add(0.5).mul(4)  # centres of cells, in input pixels
    ramp = x.expand(1, 8, 16)
    enlarged = frame.enlarge(ramp)
    assert enlarged.shape == (1, 10, 20)
    centres = (np.arange(20) + 0.5) * 2  # of the file's pixels, in input pixels
    np.testing.assert_allclose(enlarged[0, :, 2:-2], np.tile(centres[2:-2], (10, 1)), rtol=1e-5)


def test_flipped_images_and_boxes_beyond_the_image_are_refused():
    with pytest.raises(ValueError, match='does not flip'):
        Frame.of({'ori_shape': (4, 4), 'flip': True}, (4, 4))
    for box in ((-1, 0, 5, 5), (0, 0, 21, 5), (3, 3, 0.2, 4)):
        with pytest.raises(ValueError, match=r'within the image of 20x10'):
            box_region([box], (10, 20))


@pytest.fixture(scope='module')
def toy(tmp_path_factory):
    """Config, checkpoint and image of 48x40: a bright square on a dark ground, three times as large for the model."""
    root = tmp_path_factory.mktemp('maps')
    picture = np.full((40, 48), 30, np.uint8)
    picture[8:24, 20:36] = 220
    cv2.imwrite(str(root / '7.png'), picture)
    coco = {
        'images': [{'id': 7, 'file_name': '7.png', 'width': 48, 'height': 40}],
        'annotations': [
            {
                'id': 1,
                'image_id': 7,
                'category_id': 2,
                'bbox': [20, 8, 16, 16],
                'area': 256,
                'iscrowd': 0,
                'segmentation': [[20, 8, 36, 8, 36, 24, 20, 24]],
            }
        ],
        'categories': [{'id': i, 'name': n} for i, n in enumerate(('human', 'car', 'bicycle', 'uav'), start=1)],
    }
    (root / 'val.json').write_text(json.dumps(coco))
    meta = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
    pipeline = [
        {'type': 'LoadIRImageFromFile'},
        {'type': 'Resize', 'scale': (144, 120), 'keep_ratio': True},
        {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
        {'type': 'PackDetInputs', 'meta_keys': meta},
    ]
    dataset = {
        'type': 'IRDataset',
        'ann_file': str(root / 'val.json'),
        'data_prefix': {'img': str(root)},
        'pipeline': pipeline,
        'test_mode': True,
    }
    model = {
        'type': 'RetinaNet',
        'data_preprocessor': {'type': 'DetDataPreprocessor', 'pad_size_divisor': 32},
        'backbone': {'type': 'ResNet', 'depth': 18, 'base_channels': 8, 'stem_channels': 8},
        'neck': {
            'type': 'PluginFPN',
            'in_channels': CHANNELS,
            'out_channels': 8,
            'num_outs': 5,
            'plugin': {'type': 'InPlaceGain', 'gain': -2.0},
        },
        'bbox_head': {'type': 'RetinaHead', 'num_classes': 4, 'in_channels': 8, 'feat_channels': 8},
    }
    content = {'default_scope': 'mmdet', 'model': model, 'test_dataloader': {'dataset': dataset}}
    config = root / 'toy.py'
    Config(content).dump(config)
    init_default_scope('mmdet')
    torch.manual_seed(0)
    weights = MODELS.build(Config(model)._cfg_dict).state_dict()
    save_checkpoint({'state_dict': weights, 'meta': {'dataset_meta': IRDataset.METAINFO}}, str(root / 'toy.pth'))
    return config, root / 'toy.pth', root / '7.png'


def test_masks_and_the_same_box_give_the_same_numbers(toy, tmp_path):
    config, weights, image = toy
    by_id = draw_feature_maps(config, weights, tmp_path / 'a.png', image_id=7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.png', 'a.png.json']
    assert json.loads((tmp_path / 'a.png.json').read_text()) == by_id
    assert by_id['targets'] == {'source': 'masks', 'count': 1, 'share_of_image': 256 / 1920}
    by_box = draw_feature_maps(
        config,
        weights,
        tmp_path / 'b.pdf',
        image,
        boxes=[(20, 8, 16, 16)],
        mean=False,
        crop=(10, 4, 30, 30),
        scale='pair',
    )
    assert by_box['stages'] == by_id['stages']
    for stage in by_id['stages']:
        assert len(stage['shown']) == 1
        assert (stage['plugin'] == 'InPlaceGain') == ('after' in stage['mean']) == (stage['name'] in ('C3', 'C4'))
        if 'after' in stage['mean']:  # a gain of -2: twice the response, the same ratio
            before, after = stage['mean']['before'], stage['mean']['after']
            assert after['target'] == pytest.approx(2 * before['target'])
            assert after['ratio'] == pytest.approx(before['ratio'])
            assert stage['negative_share']['before'] == 0 < stage['negative_share']['after']
    alone = draw_feature_maps(
        config, weights, tmp_path / 'c.svg', image, channels=0, cfg_options={'model.neck.plugin': None}
    )
    assert alone['targets']['source'] is None and alone['channel_rule'].startswith('largest standard deviation')
    assert all(stage['mean'].keys() == {'before'} and not stage['shown'] for stage in alone['stages'])


def test_arguments_that_do_not_fit_are_named(toy, tmp_path):
    config, weights, image = toy
    for message, arguments in (
        ('image file, the image_id', {}),
        ('boxes or an image_id', {'image_id': 7, 'boxes': [(0, 0, 4, 4)]}),
        ('channels: expected at least 1', {'image': image, 'channels': 0, 'mean': False}),
        ('scale: expected one of', {'image': image, 'scale': 'all'}),
        ('image_id: expected one of the test set, from 7 to 7, got 8', {'image_id': 8}),
        (r'image_id 7: expected the id of other\.png', {'image_id': 7, 'image': 'other.png'}),
        ('expected some background', {'image': image, 'boxes': [(0, 0, 48, 40)]}),
        ('within the image of 48x40', {'image': image, 'crop': (40, 0, 9, 9)}),
    ):
        with pytest.raises(ValueError, match=message):
            draw_feature_maps(config, weights, tmp_path / 'a.png', **arguments)
    with pytest.raises(FileNotFoundError, match=r'none\.png'):
        draw_feature_maps(config, weights, tmp_path / 'a.png', 'none.png')
    assert not list(tmp_path.iterdir())
