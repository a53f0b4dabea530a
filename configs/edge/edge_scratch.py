"""The model of `edge` from random weights, beside `mask_rcnn_small_scratch.py` and `rtmdet-ins_tiny_scratch.py`."""

_base_ = './mask_rcnn_small_real_long.py'

load_from = None
