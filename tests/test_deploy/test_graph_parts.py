"""Parts of the exported graph against NumPy, OpenCV and MMDetection."""

from pathlib import Path

from mmdet_ir.datasets.transforms.tone_mapping import ToneMapping, tone_map
from mmdet_ir.deploy.graph.graph_input import GraphInput, Resampling, resize_8bit
from mmdet_ir.deploy.graph.graph_tone_mapping import GraphToneMapping
from mmdet_ir.deploy.graph.pasting import paste_binary_masks, paste_masks
from mmdet_ir.deploy.graph.two_stage import ExportableMaskRCNN, _decode, _pool

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.models.task_modules import DeltaXYWHBBoxCoder
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

METHODS = [
    ('linear', {}),
    ('window', {'low': 6900, 'high': 7411.5}),
    ('window', {'low': 0, 'high': 40, 'kelvin_per_count': 0.04}),
    ('percentile', {}),
    ('percentile', {'low': 12.5, 'high': 60}),
    ('percentile', {'low': 0, 'high': 100}),
]


def images(dtype: type) -> np.ndarray:
    """Three images ``[3, 41, 53]``: noise, one hot pixel on an even ground, nothing."""
    noise = np.random.default_rng(3).normal(7200, 150, (41, 53))
    pixel = np.full((41, 53), 7000.0)
    pixel[4, 5] = 7510
    values = np.stack([noise, pixel, np.full((41, 53), 7100.0)])
    return (values / 60 if dtype is np.uint8 else values).astype(dtype)


@pytest.mark.parametrize(('method', 'settings'), METHODS)
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
def test_tone_mapping_gives_the_transforms_grey_values(method: str, settings: dict, dtype: type) -> None:
    given = images(dtype)
    graph = GraphToneMapping(ToneMapping(method, **settings))
    mapped = graph(torch.from_numpy(given.astype(np.int32) if dtype is np.uint16 else given)[:, None])[:, 0].numpy()
    expected = np.stack([tone_map(image, method, **settings) for image in given])
    np.testing.assert_array_equal(mapped, expected)
    if method != 'window':
        assert expected[0].max() == 255


def random_counts(number: int) -> list[np.ndarray]:
    """14-bit images of all kinds and sizes: full range, noise, a hot target, few levels anywhere in the range."""
    rng, made = np.random.default_rng(7), []
    for kind in range(number):
        size = rng.integers(20, 90, 2)
        values = rng.normal(7000, rng.integers(3, 400), size)
        if kind % 4 == 1:
            values = rng.integers(0, 2**14, size)
        elif kind % 4 == 2:
            values[:5, :6] += rng.integers(100, 5000)
        elif kind % 4 == 3:
            values = rng.integers(0, rng.integers(2, 600), size) + rng.integers(0, 15000)
        made.append(np.clip(values, 0, 2**14 - 1).round().astype(np.uint16))
    return made


@pytest.mark.parametrize(
    ('method', 'settings'), [('percentile', {}), ('linear', {}), ('window', {'low': 1, 'high': 9e3})]
)
def test_every_runtime_gives_the_transforms_grey_values(method: str, settings: dict, tmp_path: Path) -> None:
    """OpenVINO computes in float32 whatever the graph says, and ONNX Runtime does not."""
    openvino, runtime = pytest.importorskip('openvino'), pytest.importorskip('onnxruntime')
    graph = GraphToneMapping(ToneMapping(method, **settings)).eval()
    example, out = (torch.randint(0, 2**14, (2, 1, 30, 40), dtype=torch.int32),), tmp_path / 'graph.onnx'
    names = {'input_names': ['x'], 'output_names': ['y'], 'dynamic_axes': {'x': {0: 'n', 2: 'h', 3: 'w'}}}
    torch.onnx.export(graph, example, str(out), opset_version=18, dynamo=False, **names)
    session = runtime.InferenceSession(str(out), providers=['CPUExecutionProvider'])
    hint = {'INFERENCE_PRECISION_HINT': 'f32'}
    compiled = openvino.Core().compile_model(openvino.convert_model(str(out)), 'CPU', hint)
    for image in random_counts(60):
        given, expected = image.astype(np.int32)[None, None], tone_map(image, method, **settings)
        np.testing.assert_array_equal(session.run(None, {'x': given})[0][0, 0], expected)
        np.testing.assert_array_equal(compiled(given)[0][0, 0], expected)


def test_percentiles_that_no_graph_can_count_with_are_refused() -> None:
    GraphToneMapping(ToneMapping('percentile', low=0.05, high=99.95))
    with pytest.raises(ValueError, match='two decimals at most.*got low=0.001 and high=99.7'):
        GraphToneMapping(ToneMapping('percentile', low=0.001))


@pytest.mark.parametrize('method', ['plateau', 'clahe', 'detail'])
def test_other_tone_mapping_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match=f"one of .*'percentile'.*got '{method}'"):
        GraphToneMapping(ToneMapping(method))


@pytest.mark.parametrize('size', [(60, 88), (64, 94), (120, 171), (30, 44), (41, 53), (200, 37), (7, 9)])
def test_resizing_is_opencvs(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (60, 88, 3), dtype=np.uint8)
    resampling = Resampling(image.shape[:2], size, torch.device('cpu'))
    resized = resize_8bit(torch.from_numpy(image).permute(2, 0, 1)[None], resampling)[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(resized, cv2.resize(image, size[::-1]))


@pytest.mark.parametrize('keep_ratio', [True, False])
@pytest.mark.parametrize('factor', [1.5, 2.0, 0.5, 0.7, 1 / 3, (1.5, 1.2)])
@pytest.mark.parametrize('size', [(60, 88), (41, 53), (512, 640)])
def test_factors_give_the_sizes_and_pixels_of_the_pipeline(size: tuple, factor: object, keep_ratio: bool) -> None:
    settings = {'type': 'Resize', 'scale_factor': factor, 'keep_ratio': keep_ratio}
    image = np.random.default_rng(2).integers(0, 256, size, dtype=np.uint8)
    expected = TRANSFORMS.build(settings)({'img': image})['img']
    processor = DetDataPreprocessor(pad_size_divisor=1)
    graph = GraphInput(_pipeline(settings, channels=1), processor)
    got, network_size, stored = graph(torch.from_numpy(image)[None, None])
    assert tuple(int(side) for side in network_size) == expected.shape and tuple(stored) == size
    np.testing.assert_array_equal(got[0, 0].numpy(), expected)


@pytest.mark.parametrize(('color_type', 'channels'), [('color', 3), ('grayscale', 1)])
def test_a_grey_loader_of_mmdetection_means_one_channel(color_type: str, channels: int) -> None:
    cfg = _pipeline()
    steps = cfg.test_dataloader.dataset.pipeline
    steps[0] = {'type': 'LoadImageFromFile', 'color_type': color_type}
    graph = GraphInput(cfg, DetDataPreprocessor(mean=[10.0] * channels, std=[2.0] * channels))
    assert graph.channels == channels
    got, *_ = graph(torch.full((1, channels, 4, 5), 30, dtype=torch.uint8))
    assert got.shape == (1, channels, 4, 5) and (got == 10).all()


def test_masks_are_pasted_as_mmdetection_does() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(4, 28, 28, generator=generator)
    boxes = torch.tensor([[3.3, 4.1, 40.7, 30.2], [0, 0, 64, 48], [50.2, 10, 64, 11.3], [5, 5, 6.5, 40]])
    expected, _ = _do_paste_mask(masks[:, None], boxes, 48, 64, skip_empty=False)
    torch.testing.assert_close(paste_masks(masks, boxes, 48, 64), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize('threshold', [0.0, 0.02, 0.5])
def test_binary_masks_are_those_of_mmdetection_to_the_last_pixel_that_a_cell_reaches(threshold: float) -> None:
    generator = torch.Generator().manual_seed(1)
    corners = torch.rand(60, 2, generator=generator) * torch.tensor([90.0, 70]) - 15
    boxes = torch.cat((corners, corners + torch.rand(60, 2, generator=generator) ** 4 * 80), dim=1)
    boxes = torch.cat((boxes, torch.tensor([[0.0, 0, 64, 48], [-40, -40, -30, -30], [70, 3, 90, 9], [8, 8, 9, 9]])))
    masks = torch.rand(len(boxes), 28, 28, generator=generator)
    expected, _ = _do_paste_mask(masks[:, None], boxes, 48, 64, skip_empty=False)
    got = paste_binary_masks(masks.numpy(), boxes.numpy(), 48, 64, threshold)
    clear = ((expected - threshold).abs() > 2e-4).numpy() | (threshold == 0)
    assert got.dtype == bool and clear.mean() > 0.99
    np.testing.assert_array_equal(got[clear], (expected >= threshold).numpy()[clear])
    assert paste_binary_masks(np.zeros((0, 28, 28), np.float32), np.zeros((0, 4), np.float32), 5, 6, 0.5).shape == (
        0,
        5,
        6,
    )


def test_a_box_without_area_has_an_empty_mask() -> None:
    masks = paste_masks(torch.ones(1, 28, 28), torch.tensor([[5.0, 5.0, 5.0, 20.0]]), 32, 32)
    assert masks.sum() == 0


def test_boxes_are_decoded_as_the_coder_does() -> None:
    coder = DeltaXYWHBBoxCoder(target_means=(0.1, 0.0, 0.0, -0.1), target_stds=(0.1, 0.1, 0.2, 0.2))
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(50, 2, generator=generator) * 60
    boxes = torch.cat((corners, corners + torch.rand(50, 2, generator=generator) * 40), dim=1)
    deltas = torch.randn(50, 4, generator=generator) * 12  # (some beyond the coder's limit)
    expected = coder.decode(boxes, deltas, max_shape=(64, 96))
    torch.testing.assert_close(_decode(coder, boxes, deltas, (64, 96)), expected, atol=1e-4, rtol=1e-5)


def test_boxes_are_pooled_on_the_extractors_levels() -> None:
    layer = {'type': 'RoIAlign', 'output_size': 7, 'sampling_ratio': 0}
    extractor = SingleRoIExtractor(layer, out_channels=5, featmap_strides=[4, 8, 16], finest_scale=16)
    features = [torch.randn(2, 5, 96 // stride, 128 // stride) for stride in (4, 8, 16)]
    boxes = torch.tensor([[60.0, 10, 120, 90], [3, 3, 10, 9], [5, 5, 50, 50], [0, 0, 0, 0], [1, 1, 100, 20]])
    image = torch.tensor([1, 0, 1, 0, 0])
    expected = extractor(features, torch.cat((image[:, None].float(), boxes), dim=1))
    torch.testing.assert_close(_pool(extractor, features, boxes, image), expected)


def _pipeline(*transforms: dict, **loader: object) -> Config:
    init_default_scope('mmdet')
    pipeline = [{'type': 'LoadIRImageFromFile', **loader}, *transforms, {'type': 'PackDetInputs'}]
    return Config({'test_dataloader': {'dataset': {'pipeline': pipeline}}}, filename=None)


@pytest.mark.parametrize(
    ('transforms', 'loader', 'message'),
    [
        ([{'type': 'Invert', 'prob': 1.0}], {}, 'got Invert'),
        ([{'type': 'Resize', 'scale': (96, 64), 'interpolation': 'bicubic'}], {}, "got 'bicubic'"),
        ([{'type': 'Resize', 'scale': (96, 64)}], {'raw': True, 'channels': 1}, 'got int32'),
        ([{'type': 'ToneMapping', 'method': 'clahe'}], {'raw': True, 'channels': 1}, "got 'clahe'"),
        (
            [{'type': 'FixShapeResize', 'width': 96, 'height': 64, 'keep_ratio': True}],
            {},
            'FixShapeResize.* pads the image',
        ),
    ],
)
def test_pipelines_that_no_graph_holds_are_refused(transforms: list, loader: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraphInput(_pipeline(*transforms, **loader), nn.Identity())


def test_other_detectors_are_refused() -> None:
    with pytest.raises(ValueError, match='model: expected TwoStageDetector, got Identity'):
        ExportableMaskRCNN(nn.Identity(), nn.Identity())
