"""The small runtime for cells of the study, which are counted in steps: the last checkpoint stays."""

_base_ = './small_runtime.py'

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500, max_keep_ckpts=1, save_best=None))
