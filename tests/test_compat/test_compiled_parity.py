"""Our operators against mmcv's compiled ones, on the CPU. ``.ci/compiled_mmcv`` builds such an mmcv and runs this."""

import importlib.util
import sys
from collections.abc import Callable
from types import SimpleNamespace

from mmdet_ir.compat import mmcv_ext

import pytest
import torch
from mmcv import _ext as ext
from mmcv.ops import batched_nms, deform_conv2d, modulated_deform_conv2d, nms, roi_align, soft_nms
from torch import Tensor

COMPILED = importlib.util.find_spec('mmcv._ext').origin.endswith(('.so', '.pyd'))
pytestmark = pytest.mark.skipif(not COMPILED, reason='needs an mmcv with compiled operators: .ci/compiled_mmcv')

Both = Callable[[str, Callable[[], tuple[Tensor, ...]]], None]


@pytest.fixture
def same_results(monkeypatch: pytest.MonkeyPatch) -> Both:
    """Calls a function with mmcv's operators, then with ours, and compares all that it returns."""
    stock = {name: getattr(ext, name) for name in mmcv_ext.__all__}
    stock = SimpleNamespace(**{name: getattr(operator, 'compiled', operator) for name, operator in stock.items()})

    def compare(module: str, function: Callable[[], tuple[Tensor, ...]]) -> None:
        results = []
        for operators in (stock, mmcv_ext):
            with monkeypatch.context() as patch:
                patch.setattr(sys.modules[f'mmcv.ops.{module}'], 'ext_module', operators)
                results.append(function())
        wanted, got = results
        assert len(got) == len(wanted)
        for one, other in zip(got, wanted, strict=True):
            assert other.numel()
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)

    return compare


def random(*shape: int, seed: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def boxes_and_scores(seed: int) -> tuple[Tensor, Tensor]:
    corner = random(300, 2, seed=seed) * 60
    return torch.cat((corner, corner + 2 + 30 * random(300, 2, seed=seed + 1)), 1), random(300, seed=seed + 2)


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.3, 0.7])
def test_nms(same_results: Both, offset: int, threshold: float) -> None:
    boxes, scores = boxes_and_scores(0)
    same_results('nms', lambda: nms(boxes, scores, threshold, offset=offset))


def test_batched_nms(same_results: Both) -> None:
    boxes, scores = boxes_and_scores(3)
    labels = (random(300, seed=9) * 4).long()
    same_results('nms', lambda: batched_nms(boxes, scores, labels, {'type': 'nms', 'iou_threshold': 0.5}))


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms(same_results: Both, method: str, offset: int) -> None:
    boxes, scores = boxes_and_scores(6)
    same_results('nms', lambda: soft_nms(boxes, scores, 0.4, sigma=0.5, min_score=0.05, method=method, offset=offset))


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('samples', [0, 2])
def test_roi_align_and_its_gradient(same_results: Both, samples: int, aligned: bool) -> None:
    features = random(2, 3, 24, 30, seed=0)
    boxes = boxes_and_scores(1)[0][:40] * 2 - 20  # some leave the map
    rois = torch.cat(((torch.arange(40) % 2).float()[:, None], boxes), 1)
    grad = random(40, 3, 5, 7, seed=2)

    def run() -> tuple[Tensor, ...]:
        leaf = features.clone().requires_grad_()
        pooled = roi_align(leaf, rois, (5, 7), 0.25, samples, 'avg', aligned)
        pooled.backward(grad)
        return pooled, leaf.grad

    same_results('roi_align', run)


@pytest.mark.parametrize('modulated', [False, True])
@pytest.mark.parametrize(('groups', 'deform_groups'), [(1, 1), (2, 2)])
def test_deformable_convolution_and_its_gradients(
    same_results: Both, modulated: bool, groups: int, deform_groups: int
) -> None:
    stride, padding, dilation, size = (2, 1), (1, 2), (1, 2), (6, 11)
    features, weight = random(2, 4, 11, 11, seed=0), random(6, 4 // groups, 3, 3, seed=1) - 0.5
    offset = 4 * random(2, deform_groups * 18, *size, seed=2) - 2
    mask, bias, grad = random(2, deform_groups * 9, *size, seed=3), random(6, seed=4), random(2, 6, *size, seed=5)

    def run() -> tuple[Tensor, ...]:
        x, w, o, m, b = leaves = [t.clone().requires_grad_() for t in (features, weight, offset, mask, bias)]
        if modulated:
            out = modulated_deform_conv2d(x, o, m, w, b, stride, padding, dilation, groups, deform_groups)
        else:
            out = deform_conv2d(x, o, w, stride, padding, dilation, groups, deform_groups)
        out.backward(grad)
        return out, *(leaf.grad for leaf in leaves if leaf.grad is not None)

    same_results('modulated_deform_conv' if modulated else 'deform_conv', run)
