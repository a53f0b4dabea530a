"""The small runtime for trainings that are counted in steps: tested and saved is the moving average of the weights."""

_base_ = './small_runtime.py'

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=2, save_best=None))
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', momentum=0.002, update_buffers=True)]
