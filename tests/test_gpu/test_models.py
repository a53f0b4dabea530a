"""Every model takes a training step and an inference on the GPU with mixed precision, plain and under TTA."""

import copy
import math

import pytest
import torch
from gpu_cases import DEVICE, ON_CPU
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper

from building import PLAIN, build, tiny_batch  # isort: skip  (gpu_cases says where it is)

pytestmark = pytest.mark.gpu
FULL = 'ir/mask_rcnn_bnsa_focalsiou_mbcedicels.py'
NAMES = [name for name in PLAIN if name.startswith('quickstart')] if ON_CPU else [*PLAIN, FULL]
AMP = {'type': 'Bf16OptimWrapper'} if ON_CPU else {'type': 'AmpOptimWrapper', 'loss_scale': 'dynamic'}


def made(name: str) -> torch.nn.Module:
    if 'boxinst' in name:
        pytest.importorskip('skimage')
    MessageHub.get_current_instance().update_info('iter', 100)  # some losses warm up with it, as the runner keeps it
    return build(name).to(DEVICE)


@pytest.mark.parametrize('name', NAMES)
def test_a_training_step_and_an_inference_with_mixed_precision(name: str) -> None:
    model = made(name)
    wrapper = build_optim_wrapper(model, {**AMP, 'optimizer': {'type': 'SGD', 'lr': 1e-4}})
    before = {key: value.detach().clone() for key, value in model.named_parameters() if value.requires_grad}
    model.train()
    for _ in range(3):  # (float16's first scale may be too large: such a step is skipped)
        logs = model.train_step(copy.deepcopy(tiny_batch(model)), wrapper)
        assert all(math.isfinite(float(value)) for value in logs.values()), logs
    moved = [key for key, value in model.named_parameters() if key in before and not torch.equal(value, before[key])]
    assert len(moved) > len(before) / 2
    assert all(torch.isfinite(value).all() for value in model.parameters())
    model.eval()
    with torch.inference_mode(), torch.autocast(DEVICE, torch.bfloat16 if ON_CPU else torch.float16):
        samples = model.test_step(tiny_batch(model))
    for sample in samples:
        found = sample.pred_instances
        assert found.masks.shape == (len(found.scores), *sample.ori_shape)
        assert torch.isfinite(found.bboxes.float()).all()


@pytest.mark.parametrize('name', ['quickstart/mask_rcnn_synthetic.py', 'quickstart/sparseinst_real.py'])
def test_detections_are_those_of_the_cpu(name: str) -> None:
    """Float32 without TF32; of the best detections, whose order no last bit decides."""
    precise = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        model = made(name).cpu().eval()
        with torch.inference_mode():
            expected = model.test_step(tiny_batch(model))[0].pred_instances.cpu()
            model = model.to(DEVICE)
            got = model.test_step(tiny_batch(model))[0].pred_instances.cpu()
    finally:
        torch.backends.cudnn.allow_tf32 = precise
    assert len(got) == len(expected) > 0
    torch.testing.assert_close(got.scores.sort().values, expected.scores.sort().values, rtol=1e-3, atol=1e-4)


def test_tta() -> None:
    from mmdet_ir.models.test_time_augs import IRTTAModel

    name = 'quickstart/mask_rcnn_synthetic.py'
    model = made(name).eval()
    tta = IRTTAModel(module=model)
    batch = tiny_batch(model)
    flipped = copy.deepcopy(batch)
    flipped['inputs'] = [image.flip(-1) for image in flipped['inputs']]
    for sample in batch['data_samples']:
        sample.set_metainfo({'flip': False, 'flip_direction': None})
    for sample in flipped['data_samples']:
        sample.set_metainfo({'flip': True, 'flip_direction': 'horizontal'})
    views = {key: [batch[key], flipped[key]] for key in batch}
    with torch.inference_mode():
        results = tta.test_step(views)
    for sample in results:
        assert len(sample.pred_instances.masks) == len(sample.pred_instances.scores) > 0
