"""Where exported models run: what was asked to run on a GPU runs there or is refused."""

from pathlib import Path
from types import SimpleNamespace

from mmdet_ir.deploy import backends
from mmdet_ir.deploy.backends import ExportedModel

import pytest
import torch


class FakeRuntime:
    """ONNX Runtime as a user's machine has it: what it was built with, and what starts when a session is made."""

    __version__ = '1.99'
    SessionOptions = SimpleNamespace

    def __init__(self, built: list[str], starts: list[str]) -> None:
        self.get_available_providers = lambda: built
        self.starts = starts
        self.asked: list = []

    def InferenceSession(self, path: str, options: object, providers: list) -> SimpleNamespace:
        self.asked = providers
        return SimpleNamespace(
            get_providers=lambda: self.starts,
            get_inputs=lambda: [SimpleNamespace(name='images')],
            get_modelmeta=lambda: SimpleNamespace(custom_metadata_map={'mmdet_ir': '{"classes": ["car"]}'}),
        )


CPU, CUDA, TENSORRT = 'CPUExecutionProvider', 'CUDAExecutionProvider', 'TensorrtExecutionProvider'


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / 'model.onnx'
    path.write_bytes(b'')
    return path


@pytest.mark.parametrize(
    ('device', 'asked'),
    [
        ('cpu', [(CPU, {})]),
        ('cuda', [(CUDA, {'device_id': '0'}), (CPU, {})]),
        ('cuda:1', [(CUDA, {'device_id': '1'}), (CPU, {})]),
        ('tensorrt', [(TENSORRT, {'device_id': '0'}), (CUDA, {'device_id': '0'}), (CPU, {})]),
    ],
)
def test_a_device_that_is_there_is_used(
    model: Path, monkeypatch: pytest.MonkeyPatch, device: str, asked: list
) -> None:
    runtime = FakeRuntime([TENSORRT, CUDA, CPU], [name for name, _ in asked])
    monkeypatch.setattr(backends, 'optional', lambda name: runtime)
    assert ExportedModel(model, 1, device).classes == ('car',)
    assert runtime.asked == asked


@pytest.mark.parametrize(('device', 'provider'), [('cuda', CUDA), ('tensorrt', TENSORRT)])
def test_a_runtime_without_the_provider_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, device: str, provider: str
) -> None:
    monkeypatch.setattr(backends, 'optional', lambda name: FakeRuntime(['AzureExecutionProvider', CPU], [CPU]))
    with pytest.raises(ValueError, match=f'model.onnx: expected an ONNX Runtime with {provider} .* onnxruntime-gpu'):
        ExportedModel(model, device=device)


def test_a_runtime_that_falls_back_to_the_cpu_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ONNX Runtime does without a word at our log level, where a library of CUDA is missing."""
    monkeypatch.setattr(backends, 'optional', lambda name: FakeRuntime([CUDA, CPU], [CPU]))
    with pytest.raises(ValueError, match=f'expected {CUDA} to start on GPU 0, but ONNX Runtime offers only {CPU}'):
        ExportedModel(model, device='cuda')


@pytest.mark.parametrize(
    ('name', 'device', 'message'),
    [
        ('model.xml', 'cuda', 'expected device cpu for OpenVINO, got cuda; export to ONNX for it'),
        ('model.pt', 'cuda:0', r'expected device cpu for TorchScript \(.*\), got cuda'),
        ('model.pt2', 'tensorrt', 'expected device cpu or cuda for torch.export, got tensorrt'),
        ('model.pt2', 'cuda:99', r'expected a GPU with the number 99 for device cuda, got \d+ GPU'),
        ('model.onnx', 'gpu', "device: expected cpu, cuda, cuda:NUMBER or tensorrt, got 'gpu'"),
    ],
)
def test_what_a_file_cannot_run_on(tmp_path: Path, name: str, device: str, message: str) -> None:
    (tmp_path / name).write_bytes(b'')
    with pytest.raises(ValueError, match=message):
        ExportedModel(tmp_path / name, device=device)


@pytest.mark.gpu
def test_on_a_gpu_an_exported_program_detects_what_it_detects_on_the_cpu(tmp_path: Path) -> None:
    from mmdet_ir.apis.inference.inferencer import IRInferencer
    from mmdet_ir.deploy.export import export_model

    from tiny_problem import write_problem

    write_problem(tmp_path)
    inferencer = IRInferencer(str(tmp_path / 'config.py'), str(tmp_path / 'weights.pth'), 'cpu', show_progress=False)
    path = tmp_path / 'model.pt2'
    export_model(inferencer, path, 'torch-export', size=(88, 60), batch=1)
    image = inferencer.read(tmp_path / 'images/0.png')
    (expected,), (got,) = (
        ExportedModel(path, device=device).predict([image])
        for device in ('cpu', 'cuda' if torch.cuda.is_available() else 'cpu')
    )
    assert len(expected['boxes']) == len(got['boxes']) > 0
    assert abs(expected['boxes'] - got['boxes']).max() < 0.1 and (expected['labels'] == got['labels']).all()
