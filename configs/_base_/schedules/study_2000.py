"""Fine-tuning of one cell of the study that `protocol.yaml` fixes: 2,000 steps, otherwise as `study.py`."""

_base_ = './study.py'

max_iters = 2000
train_cfg = dict(max_iters=max_iters, val_interval=10 * max_iters)
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], 'T_max': max_iters}]
