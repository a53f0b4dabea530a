"""Exported models against the detector in PyTorch, through the test pipeline of the config."""

import json
from pathlib import Path

from mmdet_ir.apis import launch
from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.deploy.backends import METADATA_KEY, ExportedModel
from mmdet_ir.deploy.export import export_model
from mmdet_ir.deploy.graph.graph_input import GraphInput
from mmdet_ir.deploy.graph.two_stage import ExportableMaskRCNN
from mmdet_ir.deploy.score import score_exported
from mmdet_ir.deploy.verify import verify
from mmdet_ir.engine.config_hash import config_hash
from mmdet_ir.version import __version__

import numpy as np
import pytest
import torch
from tiny_problem import CLASSES, HEIGHT, WIDTH, counts, write_problem, write_weights

IMAGES = [(f'image {i}', counts(i)) for i in range(5)]


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('export')
    write_problem(root)
    return root


@pytest.fixture(scope='module')
def inferencer(root: Path) -> IRInferencer:
    return IRInferencer(root / 'config.py', root / 'weights.pth', 'cpu', show_progress=False)


@pytest.fixture(scope='module')
def onnx_model(root: Path, inferencer: IRInferencer) -> ExportedModel:
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    export_model(inferencer, root / 'model.onnx', 'onnx', masks='pasted')
    return ExportedModel(root / 'model.onnx', threads=1)


def _require_same(exported: ExportedModel, inferencer: IRInferencer, images: list, batches: tuple | None) -> None:
    """The comparison passes without close calls, and had something to compare."""
    for comparison in verify(exported, inferencer, images, batches).values():
        assert comparison.same, comparison.differences
        assert not comparison.close and comparison.detections >= len(images)


@pytest.fixture(scope='module')
def plain(root: Path) -> IRInferencer:
    """The baseline's neck, boxes for each class, and one mask for all classes."""
    text = (root / 'config.py').read_text().replace('neck=dict(', "neck=dict(_delete_=True, type='FPN', num_outs=5, ")
    text = text.replace('bbox_head=dict(', 'bbox_head=dict(reg_class_agnostic=False, ')
    text = text.replace('mask_head=dict(', 'mask_head=dict(class_agnostic=True, ')
    text = text.replace('rpn_head=dict(', 'rpn_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32, 64]), ')
    (root / 'plain.py').write_text(text)
    write_weights(root / 'plain.py', root / 'plain.pth')
    return IRInferencer(root / 'plain.py', root / 'plain.pth', 'cpu', show_progress=False)


@pytest.mark.parametrize('which', ['inferencer', 'plain'])
def test_the_batched_function_is_the_detector(which: str, request: pytest.FixtureRequest) -> None:
    inferencer = request.getfixturevalue(which)
    model = ExportableMaskRCNN(
        inferencer.model, GraphInput(inferencer.cfg, inferencer.model.data_preprocessor), 'pasted'
    )
    images = [image for _, image in IMAGES]
    with torch.inference_mode():
        boxes, scores, labels, image, masks = model(torch.from_numpy(np.stack(images)[:, None].astype(np.int32)))
    expected = inferencer.predict([inferencer.prepare(image, 'image') for image in images])
    assert min(len(instances) for instances in expected) > 0
    assert image.tolist() == [i for i, instances in enumerate(expected) for _ in instances.scores]
    for number, instances in enumerate(expected):
        own = image == number
        torch.testing.assert_close(boxes[own], instances.bboxes, atol=1e-3, rtol=1e-5)
        torch.testing.assert_close(scores[own], instances.scores, atol=1e-5, rtol=1e-5)
        assert labels[own].tolist() == instances.labels.tolist()
        assert (masks[own] != instances.masks).float().mean() < 1e-4


def test_onnx_gives_what_the_test_pipeline_gives(onnx_model: ExportedModel, inferencer: IRInferencer) -> None:
    _require_same(onnx_model, inferencer, IMAGES, None)


def test_onnx_takes_other_sizes_and_numbers_of_images(onnx_model: ExportedModel, inferencer: IRInferencer) -> None:
    # shrunk; as it is; upright, so that height is the longer side
    images = [(str(size), counts(8, *size)) for size in ((130, 171), (64, 96), (90, 61))]
    _require_same(onnx_model, inferencer, images, (1, 2))


def test_an_image_without_detections_is_among_the_compared(
    onnx_model: ExportedModel, inferencer: IRInferencer
) -> None:
    empty = np.full((HEIGHT, WIDTH), 7001, np.uint16)
    found = onnx_model.predict([empty])[0]
    assert found['boxes'].shape == (0, 4) and found['masks'].shape == (0, HEIGHT, WIDTH)
    first, second, third = onnx_model.predict([IMAGES[0][1], empty, IMAGES[1][1]])
    assert len(first['scores']) and not len(second['scores']) and len(third['scores'])
    assert next(iter(verify(onnx_model, inferencer, IMAGES[:1], (2,)).values())).without == 1


def test_the_file_tells_what_it_is(onnx_model: ExportedModel, inferencer: IRInferencer) -> None:
    import onnx

    proto = onnx.load(onnx_model.path)
    meta = json.loads({entry.key: entry.value for entry in proto.metadata_props}[METADATA_KEY])
    assert meta == onnx_model.meta
    assert meta['classes'] == list(CLASSES)
    assert meta['score_threshold'] == 0.9 and meta['max_per_image'] == 6 and meta['mask_threshold'] == 0.5
    assert meta['tone_mapping'] == {'method': 'percentile', 'low': 0.5, 'high': 99.7}
    assert meta['input'] == {'dtype': 'int32', 'batch': None, 'channels': 1, 'height': None, 'width': None}
    assert (meta['config'], meta['config_sha256']) == ('config.py', config_hash(inferencer.cfg))
    assert meta['mmdet_ir'] == __version__


def test_scores_of_the_exported_model_are_those_of_the_test(root: Path, onnx_model: ExportedModel) -> None:
    config = str(root / 'config.py')
    expected = launch.test(config, str(root / 'weights.pth'), work_dir=str(root / 'work'))
    got = score_exported(onnx_model, launch.load_config(config), str(root / 'scores.json'))
    assert got == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert json.loads((root / 'scores.json').read_text())['images'] == 3


def test_torchscript_with_raw_masks(root: Path, inferencer: IRInferencer) -> None:
    export_model(inferencer, root / 'model.pt', 'torchscript')
    exported = ExportedModel(root / 'model.pt')
    assert exported.meta['masks'] == 'raw'
    found = exported.detect(np.stack([exported.as_input(image) for _, image in IMAGES]))
    assert found['masks'].shape[1:] == (28, 28) and 0 <= found['masks'].min() < found['masks'].max() <= 1
    _require_same(exported, inferencer, IMAGES, None)


@pytest.mark.slow
def test_openvino(root: Path, inferencer: IRInferencer) -> None:
    pytest.importorskip('openvino')
    export_model(inferencer, root / 'model.xml', 'openvino', masks='pasted')
    exported = ExportedModel(root / 'model.xml', threads=1)
    assert exported.meta['classes'] == list(CLASSES)
    _require_same(exported, inferencer, IMAGES, None)


@pytest.mark.slow
def test_openvino_in_bfloat16(root: Path, inferencer: IRInferencer) -> None:
    openvino = pytest.importorskip('openvino')
    export_model(inferencer, root / 'bf16.xml', 'openvino')
    exact, low = (ExportedModel(root / 'bf16.xml', 1, precision=name) for name in ('float32', 'bfloat16'))
    image = exact.as_input(IMAGES[0][1])[None]
    expected, got = (model.detect(image)['scores'].max() for model in (exact, low))
    assert got == pytest.approx(expected, abs=0.02)
    if 'BF16' in openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES'):
        assert got != expected
    with pytest.raises(ValueError, match="expected float32, or bfloat16 for an OpenVINO file .*, got 'float16' for"):
        ExportedModel(root / 'bf16.xml', precision='float16')
    with pytest.raises(ValueError, match="got 'bfloat16' for .*onnx"):
        (root / 'any.onnx').write_bytes(b'')
        ExportedModel(root / 'any.onnx', precision='bfloat16')


@pytest.mark.slow
def test_openvino_of_one_size(root: Path, inferencer: IRInferencer) -> None:
    # (640x480 to 85x64: as traced sizes this kept OpenVINO busy for more than ten minutes)
    pytest.importorskip('openvino')
    export_model(inferencer, root / 'fixed.xml', 'openvino', size=(640, 480), batch=1)
    exported = ExportedModel(root / 'fixed.xml', threads=1)
    _require_same(exported, inferencer, [('large', np.kron(counts(3), np.ones((8, 8), np.uint16))[:, :640])], (1,))


@pytest.mark.slow
def test_torch_export_of_one_size(root: Path, inferencer: IRInferencer) -> None:
    export_model(inferencer, root / 'model.pt2', 'torch-export', size=(WIDTH, HEIGHT), batch=2)
    exported = ExportedModel(root / 'model.pt2')
    _require_same(exported, inferencer, IMAGES, None)
    with pytest.raises(ValueError, match='expected 2 images at a time, as exported, got 1'):
        exported.predict([IMAGES[0][1]])
    with pytest.raises(ValueError, match=r'image big: expected height and width \(60, 88\).*got \(64, 88\)'):
        exported.as_input(np.zeros((64, 88), np.uint16), 'big')
    with pytest.raises(ValueError, match='image hot: expected uint8 or uint16 or int32.*got float32'):
        exported.as_input(np.zeros((60, 88), np.float32), 'hot')


@pytest.mark.parametrize(
    ('name', 'file_format', 'options', 'message'),
    [
        ('model.pt', 'onnx', {}, 'ends in .onnx'),
        ('model.onnx', 'tflite', {}, "got 'tflite'"),
        ('model.onnx', 'onnx', {'masks': 'rle'}, "got 'rle'"),
        ('model.onnx', 'onnx', {'size': (640, 0)}, 'at least 32 pixels'),
        ('model.onnx', 'onnx', {'batch': 0}, 'at least 1, got 0'),
    ],
)
def test_wrong_arguments_are_refused(
    tmp_path: Path, inferencer: IRInferencer, name: str, file_format: str, options: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        export_model(inferencer, tmp_path / name, file_format, **options)
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_origin_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Identity()), tmp_path / 'other.pt')
    with pytest.raises(ValueError, match='without its metadata'):
        ExportedModel(tmp_path / 'other.pt')
    with pytest.raises(FileNotFoundError, match='missing.onnx'):
        ExportedModel(tmp_path / 'missing.onnx')
