"""The real set with its part `dev`: validation is on recordings that were set aside from training, for every choice.

The test part is as in `real.py`; look at it once, when all choices are made.
"""

_base_ = './real.py'

val_dataloader = dict(dataset=dict(ann_file='annotations/dev.json'))
val_evaluator = dict(ann_file=_base_.data_root + 'annotations/dev.json')
