"""What cannot be exported is refused by the name of the part, and no file is left behind."""

import os
from pathlib import Path

from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.deploy import export
from mmdet_ir.deploy.trial import check_tracing, trial_shapes

import pytest
import torch
from tiny_problem import write_problem, write_weights
from torch import nn

DCN = """
_base_ = '{base}'
model = dict(
    backbone=dict(depth=50, dcn=dict(type='DCNv2', deform_groups=1), stage_with_dcn=(False, False, False, True)),
    neck=dict(in_channels=[32, 64, 128, 256]))
"""


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('trial')
    write_problem(folder)
    return folder


def inferencer(root: Path, text: str | None = None, name: str = 'config', **options: object) -> IRInferencer:
    if text is not None:
        (root / f'{name}.py').write_text(text.format(base=root / 'config.py'))
        write_weights(root / f'{name}.py', root / f'{name}.pth')
    weights = root / ('weights.pth' if text is None else f'{name}.pth')
    return IRInferencer(root / f'{name}.py', weights, 'cpu', show_progress=False, cfg_options=options)


def test_an_operator_that_a_runtime_lacks_is_told_with_its_part(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """Exported without a complaint, ONNX Runtime would refuse the file later. Libraries write nothing beside it."""
    pytest.importorskip('onnxruntime')
    model = inferencer(root, DCN, 'dcn')
    capfd.readouterr()
    expected = r'model\.backbone \(ResNet\) with ModulatedDeformConv2dPack: cannot be exported to onnx'
    with pytest.raises(ValueError, match=expected):
        export.export_model(model, tmp_path / 'model.onnx', 'onnx', size=(96, 64), batch=1)
    with pytest.raises(ValueError, match=expected.replace('onnx', 'torchscript')):
        export.export_model(model, tmp_path / 'model.pt', 'torchscript', size=(96, 64), batch=1)
    with pytest.raises(ValueError, match=expected.replace('onnx', 'torch-export')):
        export.export_model(model, tmp_path / 'model.pt2', 'torch-export', size=(96, 64), batch=1)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ('', '')
    os.write(2, b'still there')
    assert capfd.readouterr().err == 'still there'


def test_what_fails_at_its_first_run_gets_no_name(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older file of the name stays."""
    (tmp_path / 'model.pt').write_bytes(b'older')

    def cut_off(model: nn.Module, example: torch.Tensor, axes: list, path: Path, meta: str) -> None:
        path.write_bytes(b'PK')

    monkeypatch.setitem(export._WRITERS, 'torchscript', cut_off)
    with pytest.raises(ValueError, match='export: the model: cannot be exported to torchscript'):
        export.export_model(inferencer(root), tmp_path / 'model.pt', 'torchscript', size=(96, 64), batch=1)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b'older']


@pytest.mark.parametrize('name', ['rcnn.max_per_img', 'rpn.max_per_img', 'rpn.nms_pre'])
def test_a_list_without_a_limit_is_refused(root: Path, tmp_path: Path, name: str) -> None:
    model = inferencer(root, **{f'model.test_cfg.{name}': -1})
    with pytest.raises(ValueError, match=rf'model\.test_cfg\.{name}: expected a number from 1 on, got -1'):
        export.export_model(model, tmp_path / 'model.pt', 'torchscript')


class Shifted(nn.Module):
    """Takes the mean in a way that a trace makes a constant of, or not."""

    def __init__(self, constant: bool) -> None:
        super().__init__()
        self.constant = constant

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        height = int(images.shape[2]) if self.constant else images.shape[2]
        return (images / height,)


def detector(constant: bool) -> nn.Module:
    made = nn.Module()
    made.backbone, made.with_neck = Shifted(constant), False
    return made


def test_a_computation_that_holds_for_one_size_only_is_refused() -> None:
    inputs = [torch.rand(2, 3, 64, 96), torch.rand(1, 3, 32, 96)]
    check_tracing(detector(constant=False), inputs)
    with pytest.raises(ValueError, match=r'model\.backbone \(Shifted\): its computation depends on the size'):
        check_tracing(detector(constant=True), inputs)


def test_models_are_tried_along_their_free_axes() -> None:
    assert trial_shapes((2, 1, 256, 320), [0, 2, 3]) == [(2, 1, 256, 320), (1, 1, 192, 288)]
    assert trial_shapes((4, 3, 256, 320), [0]) == [(4, 3, 256, 320), (1, 3, 256, 320)]
    assert trial_shapes((1, 3, 64, 96), []) == [(1, 3, 64, 96)]


def test_the_reason_is_a_sentence_of_the_exporter() -> None:
    """As torch words it for an adaptive pooling: graph, request and stack around it, which names errors.py last."""
    message = (
        'Unsupported: ONNX export of operator adaptive pooling, since output_size is not constant.. Please feel free '
        "to request support. [Caused by the value 'input.307 defined in (%input.307 : Float(*, 64, *, *)\n"
        ")' (type 'Tensor') in the TorchScript graph.] \n"
        '    (node defined in /site-packages/torch/nn/modules/conv.py(560): _conv_forward\n'
        '/repository/mmdet_ir/cli/errors.py(86): run_tool\n)'
    )
    expected = 'Unsupported: ONNX export of operator adaptive pooling, since output_size is not constant'
    assert export._reason(RuntimeError(message)).rstrip('.') == expected
    ort = '[ONNXRuntimeError] : 10 : INVALID_GRAPH : This is an invalid model. Error in Node:/backbone/Conv'
    assert export._reason(RuntimeError(f'first line\n{ort}')) == ort
    assert export._reason(RuntimeError('')) == 'RuntimeError'
