"""INT8 models: what is in the file against PyTorch's weights, and what it detects."""

import json
from pathlib import Path

from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.apis.launch import load_config
from mmdet_ir.deploy import backends
from mmdet_ir.deploy.backends import METADATA_KEY, ExportedModel
from mmdet_ir.deploy.export import export_model
from mmdet_ir.deploy.quantize import KEPT, quantize_model

import numpy as np
import pytest
from mmengine.config import Config
from tiny_problem import counts, write_problem

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('quantize')
    write_problem(root)
    return root


@pytest.fixture(scope='module')
def inferencer(root: Path) -> IRInferencer:
    return IRInferencer(root / 'config.py', root / 'weights.pth', 'cpu', show_progress=False)


def read_config(root: Path, **options: object) -> Config:
    """The tiny problem, whose test images are its training images, too."""
    train = {'data_root': f'{root}/', 'image_key': 'file_name', 'ann_file': 'val.json'}
    return load_config(
        str(root / 'config.py'), {f'train_dataloader.dataset.{key}': value for key, value in (train | options).items()}
    )


@pytest.fixture(scope='module')
def made(root: Path, inferencer: IRInferencer) -> ExportedModel:
    export_model(inferencer, root / 'model.onnx', 'onnx')
    quantize_model(root / 'model.onnx', root / 'int8.onnx', read_config(root), number=2, threads=1)
    return ExportedModel(root / 'int8.onnx', threads=1)


def test_weights_are_rounded_for_each_channel_and_last_layers_are_kept(
    made: ExportedModel, inferencer: IRInferencer
) -> None:
    graph = onnx.load(made.path).graph
    values = {entry.name: onnx.numpy_helper.to_array(entry) for entry in graph.initializer}
    dequantized = {}
    for node in graph.node:
        if node.op_type == 'DequantizeLinear' and node.input[0] in values and values[node.input[0]].dtype == np.int8:
            weights, scale = values[node.input[0]], values[node.input[1]]
            assert scale.shape == (weights.shape[0],)  # one for each output channel
            dequantized[node.input[0]] = (weights, scale)
    modules = dict(inferencer.model.named_modules())
    fpn, head = modules['neck.fpn_convs.0.conv'].weight, modules['roi_head.bbox_head.shared_fcs.0'].weight
    for expected in (fpn, head):
        fitting = [
            (weights, scale) for weights, scale in dequantized.values() if weights.shape == tuple(expected.shape)
        ]
        errors = [
            np.abs(weights * scale.reshape(-1, *[1] * (weights.ndim - 1)) - expected.detach().numpy())
            / scale.reshape(-1, *[1] * (weights.ndim - 1))
            for weights, scale in fitting
        ]
        assert min(error.max() for error in errors) <= 0.5 + 1e-4  # half a step: nothing but rounding
    mask_logits = modules['roi_head.mask_head.conv_logits'].weight.detach().numpy()
    assert any(value.shape == mask_logits.shape and (value == mask_logits).all() for value in values.values())


def test_it_detects_what_the_float_model_detects(root: Path, made: ExportedModel) -> None:
    image = counts(0)
    (expected,), (got,) = (model.predict([image]) for model in (ExportedModel(root / 'model.onnx', threads=1), made))
    assert len(expected['scores']) and abs(len(got['scores']) - len(expected['scores'])) <= 1
    # the best detection is the same one, a little elsewhere; exactly the same would be no quantised model
    assert got['labels'][0] == expected['labels'][0]
    assert 0 < np.abs(got['boxes'][0] - expected['boxes'][0]).max() < 3
    assert got['scores'][0] == pytest.approx(expected['scores'][0], abs=0.05)


def test_the_file_tells_how_it_was_made(root: Path, made: ExportedModel) -> None:
    meta = dict(made.meta)
    assert meta.pop('quantization') == {
        'weights': 'int8, per channel',
        'activations': 'uint8, smallest to largest value',
        'calibration_images': 2,
        'layers': sum(node.op_type in ('Conv', 'Gemm') for node in onnx.load(root / 'model.onnx').graph.node)
        - len([part for part in KEPT if part.startswith('rpn')]) * 4  # on four levels
        - 3,
        'kept_in_float32': list(KEPT),
    }
    assert meta == ExportedModel(root / 'model.onnx').meta


def test_what_cannot_be_quantised_is_refused(root: Path, made: ExportedModel, inferencer: IRInferencer) -> None:
    cfg, out = read_config(root), root / 'out.onnx'
    with pytest.raises(ValueError, match=r'int8\.onnx: expected a float32 model, got one that is quantised already'):
        quantize_model(made.path, out, cfg)
    with pytest.raises(ValueError, match=r'out\.pt: expected a name that ends in \.onnx or \.xml'):
        quantize_model(root / 'model.onnx', root / 'out.pt', cfg)
    before = (root / 'model.onnx').read_bytes()
    with pytest.raises(ValueError, match=r'expected another file than the input .*model\.onnx'):
        quantize_model(root / 'model.onnx', root / 'images' / '..' / 'model.onnx', cfg)
    assert (root / 'model.onnx').read_bytes() == before
    with pytest.raises(ValueError, match='expected layers to quantise'):
        quantize_model(root / 'model.onnx', out, cfg, keep=[''])
    export_model(inferencer, root / 'fixed.onnx', 'onnx', size=(64, 48), batch=1)
    with pytest.raises(ValueError, match=r'training set: expected images of 64x48 pixels, .* got none'):
        quantize_model(root / 'fixed.onnx', out, cfg)
    assert not out.exists()


def test_openvino_runs_the_same_graph(root: Path, made: ExportedModel) -> None:
    """With weights of 7 bits: sums of products of 8 bits saturate in ONNX Runtime where the processor has no VNNI."""
    pytest.importorskip('openvino')
    source, cfg = root / 'model.onnx', read_config(root)
    metas = [
        quantize_model(source, root / name, cfg, number=2, threads=1, reduce_range=True)
        for name in ('int7.onnx', 'int7.xml')
    ]
    runtime, openvino = (ExportedModel(root / name, threads=1) for name in ('int7.onnx', 'int7.xml'))
    assert metas[0] == metas[1] == runtime.meta == openvino.meta and (root / 'int7.bin').is_file()
    assert metas[0]['quantization'] == {**made.meta['quantization'], 'weights': 'int8 of 7 bits, per channel'}
    largest = {
        name: max(
            int(np.abs(onnx.numpy_helper.to_array(entry)).max())
            for entry in onnx.load(root / name).graph.initializer
            if entry.data_type == onnx.TensorProto.INT8
        )
        for name in ('int8.onnx', 'int7.onnx')
    }
    assert largest['int8.onnx'] == 127 and largest['int7.onnx'] <= 64
    (expected,), (got,) = (model.predict([counts(0)]) for model in (runtime, openvino))
    assert got['labels'][0] == expected['labels'][0]
    assert np.abs(got['boxes'][0] - expected['boxes'][0]).max() < 1
    assert got['scores'][0] == pytest.approx(expected['scores'][0], abs=0.02)


def test_openvino_runs_once_for_each_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = []

    class Fake:
        Core = read_model = compile_model = get_rt_info = lambda self, *args: self
        has_rt_info = lambda self, keys: keys == [METADATA_KEY]  # noqa: E731
        value = json.dumps({'input': {'batch': None}, 'masks': 'raw'})

        def __call__(self, images: np.ndarray) -> list[np.ndarray]:
            runs.append(images)
            return [np.zeros(0)] * 5

    monkeypatch.setattr(backends, 'optional', lambda name: Fake())
    (tmp_path / 'model.xml').touch()
    ExportedModel(tmp_path / 'model.xml').detect(np.zeros((1, 1, 32, 32)))
    assert len(runs) == 1
