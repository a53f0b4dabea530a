"""Small SOLOv2 on real images: HIT-UAV and drone clips."""

_base_ = [
    '../_base_/models/solov2_small.py',
    '../_base_/datasets/real_dev.py',
    '../_base_/schedules/small_12e.py',
    '../_base_/small_runtime.py',
]

val_evaluator = dict(metric='segm')  # SOLOv2 predicts no boxes
test_evaluator = val_evaluator
