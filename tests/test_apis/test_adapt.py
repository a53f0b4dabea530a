from collections import Counter
from pathlib import Path

import mmdet_ir
from mmdet_ir.apis.adapt import _read, adapt, estimate_statistics
from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.apis.inference.inputs import find_sources
from mmdet_ir.apis.launch import load_config

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from torch import nn

CONFIG = Path(mmdet_ir.__file__).parents[1] / 'configs' / 'edge' / 'mask_rcnn_lite0_real.py'
OPTIONS = {'model.backbone.imagenet': False}


class Frozen(nn.Module):
    """A backbone that keeps its layers in evaluation mode, as backbones with ``frozen_stages`` or ``norm_eval`` do."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
        self.dropout = nn.Dropout(0.5)

    def train(self, mode: bool = True) -> 'Frozen':
        super().train(mode)
        self.first.eval()
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.second(3 * self.first(images)))


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = Frozen(), nn.BatchNorm2d(2)


@pytest.mark.parametrize('keep', [0.0, 0.25])
def test_statistics_are_those_of_the_images(keep):
    model = Detector().eval()
    with torch.no_grad():
        model.backbone.first.running_mean.fill_(8.0)
    values = np.random.default_rng(0).normal([[[[5.0]], [[-2.0]]]], [[[[2.0]], [[0.5]]]], (4, 2, 6, 5))
    assert estimate_statistics(model, [torch.tensor(values, dtype=torch.float32)], keep) == 2
    mean, variance = values.mean(axis=(0, 2, 3)), values.var(axis=(0, 2, 3), ddof=1)
    first, second = model.backbone.first, model.backbone.second
    np.testing.assert_allclose(first.running_mean, (1 - keep) * mean + keep * 8, rtol=1e-5)
    np.testing.assert_allclose(first.running_var, (1 - keep) * variance + keep, rtol=1e-5)
    # What reaches the second layer is three times the normalised images: mean 0, and 9 times their unit variance.
    np.testing.assert_allclose(second.running_mean, [0, 0], atol=1e-5)
    np.testing.assert_allclose(second.running_var, (1 - keep) * 9 * 120 / 119 + keep, rtol=1e-3)
    assert torch.equal(model.head.running_mean, torch.zeros(2)) and model.head.num_batches_tracked == 0
    assert not any(module.training for module in model.modules())


def test_a_smaller_batch_counts_by_its_images():
    """Eight images of 0 and, because it has another size, one of 90 alone: their mean is 10, not 45."""
    model = Detector().eval()
    estimate_statistics(model, [torch.zeros(8, 2, 6, 5), torch.full((1, 2, 4, 4), 90.0)])
    np.testing.assert_allclose(model.backbone.first.running_mean, [10, 10], rtol=1e-5)
    assert model.backbone.first.momentum == 0.1


def test_what_cannot_be_estimated_is_told():
    with pytest.raises(ValueError, match='at least one image'):
        estimate_statistics(Detector(), [])
    model = Detector()
    model.backbone = nn.Conv2d(2, 2, 1)
    with pytest.raises(ValueError, match='expected a model with BatchNorm in its backbone or neck'):
        estimate_statistics(model, [torch.zeros(1, 2, 4, 4)])


def test_a_detector_on_files(tmp_path):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(load_config(str(CONFIG), OPTIONS).model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save(
        {'state_dict': before, 'meta': {'dataset_meta': {'classes': ('human', 'car', 'bicycle', 'uav')}}},
        tmp_path / 'trained.pth',
    )
    (tmp_path / 'night').mkdir()
    rng = np.random.default_rng(1)
    images = [rng.integers(20 * i, 20 * i + 90, (64, 96), np.uint8) for i in range(3)]
    for i, image in enumerate(images):
        cv2.imwrite(str(tmp_path / 'night' / f'{i}.png'), image)
    (tmp_path / 'night' / 'broken.png').write_bytes(b'\x89PNG\r\n\x1a\n')
    out = tmp_path / 'adapted.pth'
    arguments = str(CONFIG), tmp_path / 'trained.pth', [str(tmp_path / 'night')], out
    done = adapt(*arguments, device='cpu', cfg_options=OPTIONS)
    assert (done['images'], len(done['skipped'])) == (3, 1) and 'broken.png' in done['skipped'][0]
    after = torch.load(out, weights_only=True)['state_dict']
    layers = [name for name in before if name.endswith('running_mean') and name.startswith(('backbone.', 'neck.'))]
    assert len(layers) == done['layers'] > 50
    assert all(not torch.equal(after[name], before[name]) for name in layers)
    changing = ('running_mean', 'running_var', 'num_batches_tracked')
    assert all(torch.equal(after[name], value) for name, value in before.items() if not name.endswith(changing))
    # The first layer, worked out from the files: padded by one pixel at the far sides, as images of even size are.
    pixels = torch.tensor(np.stack(images), dtype=torch.float32)[:, None]
    padded = nn.functional.pad((pixels - 127) / 128, (0, 1, 0, 1))
    expected = nn.functional.conv2d(padded, before['backbone.layers.0.conv.weight'], stride=2).mean(dim=(0, 2, 3))
    torch.testing.assert_close(after['backbone.layers.0.bn.running_mean'], expected, rtol=1e-4, atol=1e-5)
    assert IRInferencer(str(CONFIG), out, 'cpu', show_progress=False, cfg_options=OPTIONS).classes[0] == 'human'
    with pytest.raises(ValueError, match='keep from 0 to below 1, got 256, 8, 1'):
        adapt(*arguments, keep=1)
    with pytest.raises(ValueError, match=r'expected another file than the input .*trained\.pth'):
        adapt(*arguments[:3], tmp_path / 'trained.pth', cfg_options=OPTIONS)
    broken = str(tmp_path / 'night' / 'broken.png')
    with pytest.raises(ValueError, match=r'expected at least one image .* got none; the first: .*broken\.png'):
        adapt(*arguments[:2], [broken], out, device='cpu', cfg_options=OPTIONS)


def test_a_small_image_alone_in_its_batch_is_left_out(tmp_path):
    """At a 32nd of 16x16 pixels a layer sees one value of each channel, which has no variance; of two images, two."""
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = MODELS.build(load_config(str(CONFIG), OPTIONS).model)
    meta = {'dataset_meta': {'classes': ('human', 'car', 'bicycle', 'uav')}}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, tmp_path / 'trained.pth')
    rng = np.random.default_rng(1)
    for folder, sizes in {'with': [(64, 96), (64, 96), (16, 16)], 'without': [(64, 96), (64, 96)]}.items():
        (tmp_path / folder).mkdir()
        for i, size in enumerate(sizes):
            image = rng.integers(20, 110, size, np.uint8) if folder == 'with' else None
            image = cv2.imread(str(tmp_path / 'with' / f'{i}.png'), 0) if image is None else image
            cv2.imwrite(str(tmp_path / folder / f'{i}.png'), image)
    options, states = {**OPTIONS, 'model.data_preprocessor.pad_size_divisor': 1}, []
    for folder in ('with', 'without'):
        inputs, out = [str(tmp_path / folder)], tmp_path / f'{folder}.pth'
        done = adapt(str(CONFIG), tmp_path / 'trained.pth', inputs, out, device='cpu', cfg_options=options)
        assert done['images'] == 2
        states.append(torch.load(out, weights_only=True)['state_dict'])
        if folder == 'with':
            (told,) = done['skipped']
            assert told.startswith(f'{tmp_path}/with/2.png: alone in its batch') and 'one value' in told
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    # an image that is alone, but large enough, and another after it: three batches count
    for name, size in (('3', (64, 64)), ('4', (96, 96))):
        cv2.imwrite(str(tmp_path / 'without' / f'{name}.png'), rng.integers(20, 110, size, np.uint8))
    adapt(str(CONFIG), tmp_path / 'trained.pth', [str(tmp_path / 'without')], out, device='cpu', cfg_options=options)
    state = torch.load(out, weights_only=True)['state_dict']
    counted = [v.item() for k, v in state.items() if k.startswith('backbone') and k.endswith('num_batches_tracked')]
    assert counted and set(counted) == {3}
    small = [str(tmp_path / 'with' / '2.png')]
    with pytest.raises(ValueError, match=r'expected at least one image .* got none; the first: .*2\.png: alone'):
        adapt(str(CONFIG), tmp_path / 'trained.pth', small, tmp_path / 'no.pth', device='cpu', cfg_options=options)
    cv2.imwrite(str(tmp_path / 'second.png'), rng.integers(20, 110, (16, 16), np.uint8))
    both, out = [*small, str(tmp_path / 'second.png')], tmp_path / 'both.pth'
    done = adapt(str(CONFIG), tmp_path / 'trained.pth', both, out, device='cpu', cfg_options=options)
    assert (done['images'], done['skipped']) == (2, [])


@pytest.mark.parametrize('live', ['0', '-', 'rtsp://user:secret@camera/1'])
def test_live_sources_are_refused_at_once(live, tmp_path):
    with pytest.raises(ValueError, match='expected images, folders or videos, got a camera, a stream') as caught:
        adapt(str(CONFIG), tmp_path / 'trained.pth', [live], tmp_path / 'out.pth')
    assert 'secret' not in str(caught.value) and '--raw' not in str(caught.value)


class Reader:
    """Stands for an inferencer whose images are their own numbers."""

    def read(self, path, page=None):
        return np.full((2, 2), int(Path(path).stem), np.uint8)

    def prepare(self, image, name):
        return {'number': int(image[0, 0])}


@pytest.mark.parametrize('parts', [(30,), (10, 19, 1)])
def test_images_are_taken_evenly(tmp_path, parts):
    """Worked out by hand: 12 of 30 lie 29/11 apart."""
    folders, numbers = [], iter(range(30))
    for part, count in enumerate(parts):
        folders.append(tmp_path / f'{part}')
        folders[-1].mkdir()
        for _ in range(count):
            cv2.imwrite(str(folders[-1] / f'{next(numbers):02d}.png'), np.zeros((2, 2), np.uint8))
    sources = find_sources(list(map(str, folders)), tmp_path / 'out')
    for number, expected in (
        (12, [0, 3, 5, 8, 11, 13, 16, 18, 21, 24, 26, 29]),
        (2, [0, 29]),
        (1, [0]),
        (99, list(range(30))),
    ):
        used, skipped = Counter(), []
        taken = [data['number'] for data in _read(Reader(), sources, number, used, skipped)]
        assert (taken, used['images'], skipped) == (expected, len(expected), [])
