"""A training whose loss stops being finite: when it ends, what it leaves behind."""

import json
import math
from pathlib import Path

from mmdet_ir.engine import InvalidLossError, InvalidLossHook, add_invalid_loss_hook

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import Tensor


class Scale(BaseModel):
    """One weight times the input: a NaN in the input is a NaN in the loss."""

    def __init__(self, infinite_gradient_at: float | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.infinite_gradient_at = infinite_gradient_at

    def forward(self, inputs: list[Tensor], data_samples: list[DetDataSample], mode: str) -> dict[str, Tensor]:
        x = torch.stack(inputs)
        if self.infinite_gradient_at is not None and (x == self.infinite_gradient_at).any():
            # sqrt(0) = 0 is finite; its slope is not.
            return {'loss_mask': (self.weight - self.weight.detach()).abs().sqrt()}
        return {'loss_cls': self.weight.square(), 'loss_mask': (self.weight * x).mean(), 'acc': torch.tensor(math.nan)}


def sample(number: int) -> DetDataSample:
    made = DetDataSample(metainfo={'img_id': number, 'img_path': f'image_{number}.png'})
    made.gt_instances = InstanceData(labels=torch.zeros(number, dtype=torch.long))
    return made


def runner(tmp_path: Path, values: list[float], model: Scale | None = None, wrapper: dict | None = None) -> Runner:
    return Runner(
        model=model or Scale(),
        work_dir=str(tmp_path),
        train_dataloader={
            'batch_size': 2,
            'dataset': [{'inputs': torch.tensor(v), 'data_samples': sample(i)} for i, v in enumerate(values)],
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'collate_fn': {'type': 'pseudo_collate'},
        },
        train_cfg={'by_epoch': True, 'max_epochs': 3},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.01}, **(wrapper or {})},
        default_hooks={'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 1}},
        experiment_name=tmp_path.name,
    )


@pytest.mark.parametrize(('value', 'written'), [(math.nan, 'nan'), (math.inf, 'inf'), (-math.inf, '-inf')])
def test_the_iteration_is_the_last_and_its_batch_is_named(tmp_path: Path, value: float, written: str) -> None:
    training = runner(tmp_path, [1.0, 2.0, 3.0, value, 5.0, 6.0])
    add_invalid_loss_hook(training)
    where = r'iteration 2, epoch 1, process 0: .*loss_mask \S+ on image_2\.png, image_3\.png'
    with pytest.raises(InvalidLossError, match=where):
        training.train()
    assert training.iter == 1  # counted from 0
    content = json.loads((tmp_path / 'invalid_loss_iter_2.json').read_text())
    (report,) = content.pop('processes')
    assert content == {'iteration': 2, 'epoch': 1}
    assert report['rank'] == 0
    assert report['images'] == [
        {'id': 2, 'path': 'image_2.png', 'targets': 2},
        {'id': 3, 'path': 'image_3.png', 'targets': 3},
    ]
    assert [image['id'] for image in report['images_of_the_iteration_before']] == [0, 1]
    assert report['values']['loss_mask'] == report['values']['loss'] == written
    # The weight after one step: 1 - 0.01 * (2 * 1 + mean(1, 2)).
    assert report['values']['loss_cls'] == pytest.approx(0.965**2, rel=1e-6)
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_1.pth']


def test_finite_losses_train_to_the_end_whatever_else_is_nan(tmp_path: Path) -> None:
    training = runner(tmp_path, [1.0, 2.0, 3.0, 4.0])
    add_invalid_loss_hook(training)
    training.train()  # 'acc' is NaN
    assert training.iter == 6
    assert not list(tmp_path.glob('invalid_loss*'))


def test_a_gradient_that_is_not_finite_is_found_one_iteration_later(tmp_path: Path) -> None:
    """The weight is NaN after the second step; the report has the batch of that step, too, and the gradient's norm."""
    model = Scale(infinite_gradient_at=3.0)
    training = runner(tmp_path, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], model, {'clip_grad': {'max_norm': 1.0}})
    add_invalid_loss_hook(training)
    with pytest.raises(InvalidLossError, match='iteration 3'):
        training.train()
    (report,) = json.loads((tmp_path / 'invalid_loss_iter_3.json').read_text())['processes']
    assert [image['id'] for image in report['images_of_the_iteration_before']] == [2, 3]
    assert report['values']['grad_norm'] == 'nan'


class Scaled(OptimWrapper):
    """As mmengine's AmpOptimWrapper, which wants a GPU, with a scale at which every gradient overflows."""

    skipped = 0

    def update_params(self, loss: Tensor, *args: object, **kwargs: object) -> None:
        scaler = torch.amp.GradScaler('cpu', init_scale=2.0**126)
        scaler.scale(loss * 8).backward()
        before = self.param_groups[0]['params'][0].clone()
        scaler.step(self.optimizer)
        self.skipped += int(before == self.param_groups[0]['params'][0])
        self.zero_grad()


def test_a_step_that_the_loss_scaler_skips_goes_on(tmp_path: Path) -> None:
    training = runner(tmp_path, [1.0, 2.0, 3.0, 4.0])
    add_invalid_loss_hook(training)
    optimizer = torch.optim.SGD(training.model.parameters(), lr=0.01)
    training.optim_wrapper = Scaled(optimizer)
    training.train()
    assert (training.iter, training.optim_wrapper.skipped) == (6, 6)


def test_the_hook_is_there_once(tmp_path: Path) -> None:
    training = runner(tmp_path, [1.0, 2.0])
    training.register_hook(InvalidLossHook())
    add_invalid_loss_hook(training)
    assert sum(isinstance(hook, InvalidLossHook) for hook in training.hooks) == 1
