"""One-stage detectors exported: their graphs against MMDetection, and the files against PyTorch."""

from pathlib import Path

from mmdet_ir.apis.inference.inferencer import IRInferencer
from mmdet_ir.deploy.backends import ExportedModel
from mmdet_ir.deploy.export import export_model
from mmdet_ir.deploy.graph.base import boxes_around
from mmdet_ir.deploy.graph.exportable import exportable_kind
from mmdet_ir.deploy.graph.graph_input import GraphInput
from mmdet_ir.deploy.graph.mask_lists import _decay, _shares
from mmdet_ir.deploy.verify import verify

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models.layers import mask_matrix_nms
from one_stage_problem import AS_STORED, SETTINGS, write_one_stage
from tiny_problem import counts, write_problem
from torch import nn

IMAGES = [(f'image {i}', counts(i)) for i in range(3)]


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('one_stage')
    write_problem(root)
    return root


def _inferencer(root: Path, name: str, **options: str) -> IRInferencer:
    config, weights = write_one_stage(root, name, **options)
    return IRInferencer(config, weights, 'cpu', show_progress=False)


@pytest.mark.parametrize('name', SETTINGS)
def test_the_batched_function_is_the_detector(root: Path, name: str) -> None:
    inferencer = _inferencer(root, name)
    graph = exportable_kind(inferencer.model)
    model = graph(inferencer.model, GraphInput(inferencer.cfg, inferencer.model.data_preprocessor), 'pasted').eval()
    # upright, so that the image is shrunk and padded; and as it is, twice
    for images in ([counts(8, 90, 61)], [image for _, image in IMAGES[:2]]):
        with torch.inference_mode():
            found = model(torch.from_numpy(np.stack(images)[:, None].astype(np.int32)))
        for number, image in enumerate(images):
            boxes, scores, labels, _, masks = (values[found[3] == number] for values in found)
            expected = inferencer.predict([inferencer.prepare(image, 'image')])[0]
            expected = expected[expected.scores.sort(descending=True, stable=True)[1]]
            assert len(expected) and expected.masks.any() and not expected.masks.all()
            torch.testing.assert_close(scores, expected.scores, atol=1e-4, rtol=1e-4)
            assert labels.tolist() == expected.labels.tolist()
            assert (masks != expected.masks).float().mean() < 1e-4
            if expected.bboxes.any():
                torch.testing.assert_close(boxes, expected.bboxes, atol=1e-3, rtol=1e-5)
            else:  # SOLOv2
                assert boxes.tolist() == [_box(mask.numpy()) for mask in masks]


def _box(mask: np.ndarray) -> list[float]:
    rows, columns = np.nonzero(mask)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0.0] * 4


@pytest.mark.slow
@pytest.mark.parametrize('name', SETTINGS)
def test_onnx_gives_what_the_test_pipeline_gives(root: Path, name: str) -> None:
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    # (as stored: one resizing less in the graph, which the two-stage models test)
    inferencer = _inferencer(root, name, **({} if name == 'rtmdet-ins' else {'resize': AS_STORED}))
    export_model(inferencer, root / f'{name}.onnx', 'onnx')
    exported = ExportedModel(root / f'{name}.onnx', threads=1)
    assert exported.meta['masks'] == ('raw' if name == 'blendmask' else 'pasted')
    for comparison in verify(exported, inferencer, [*IMAGES, ('upright', counts(8, 90, 61))], (1, 2)).values():
        assert comparison.same, comparison.differences
        assert comparison.detections >= 4
    found = exported.predict([IMAGES[0][1]])[0]
    assert found['masks'].shape[1:] == IMAGES[0][1].shape and found['masks'].dtype == bool


@pytest.mark.slow
@pytest.mark.parametrize('name', ['rtmdet-ins', 'sparseinst'])
def test_openvino_of_any_size(root: Path, name: str) -> None:
    openvino = pytest.importorskip('openvino')
    inferencer = _inferencer(root, name, resize=AS_STORED)
    export_model(inferencer, root / f'{name}.xml', 'openvino')
    for comparison in verify(ExportedModel(root / f'{name}.xml', 1), inferencer, IMAGES, (2,)).values():
        assert comparison.same, comparison.differences
    model = openvino.Core().read_model(root / f'{name}.xml')
    assert [one.get_any_name() for one in model.inputs] == ['images']
    assert [one.get_any_name() for one in model.outputs] == ['boxes', 'scores', 'labels', 'image', 'masks']


def test_adaptive_pooling_as_products() -> None:
    for length, cells in ((2, 6), (3, 2), (20, 6), (16, 3), (5, 1)):
        values = torch.rand(1, 1, length, 1)
        expected = F.adaptive_avg_pool2d(values, (cells, 1))
        torch.testing.assert_close(_shares(length, cells, values) @ values, expected)


@pytest.mark.parametrize('kernel', ['gaussian', 'linear'])
def test_matrix_nms_within_groups(kernel: str) -> None:
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(9, 12, 12, generator=generator) > 0.4
    scores = torch.rand(9, generator=generator).sort(descending=True)[0]
    labels = torch.tensor([0, 1, 0, 0, 1, 0, 1, 1, 0])
    expected, *_, order = mask_matrix_nms(masks, labels, scores, kernel=kernel, sigma=2.0)
    got = scores * _decay(masks.float(), masks.sum((1, 2)).float(), labels, {'kernel': kernel, 'sigma': 2.0})
    torch.testing.assert_close(got[order], expected)


def test_boxes_around_masks() -> None:
    masks = torch.zeros(3, 7, 9, dtype=torch.bool)
    masks[0, 2:4, 3:8] = True
    masks[1, 6, 0] = True
    assert boxes_around(masks).tolist() == [[3, 2, 8, 4], [0, 6, 1, 7], [0, 0, 0, 0]]


def test_what_has_no_graph_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='model: expected one of TwoStageDetector, .*SparseInst, got Identity'):
        exportable_kind(nn.Identity())
    inferencer = _inferencer(root, 'solov2')
    with pytest.raises(ValueError, match="expected 'pasted' for SOLOv2, whose masks are not grids .* got 'raw'"):
        export_model(inferencer, tmp_path / 'model.onnx', 'onnx', masks='raw')
    assert not list(tmp_path.iterdir())
