"""Where the edge models start: the light full method, trained on 3000 synthetic scenes."""

_base_ = [
    '../_base_/models/mask_rcnn_edge.py',
    '../_base_/datasets/synthetic_pretrain.py',
    '../_base_/schedules/small_8e.py',
    '../_base_/small_runtime.py',
]

load = dict(type='LoadIRImageFromFile', channels=1)
train_dataloader = dict(dataset=dict(pipeline=[load, *_base_.train_pipeline[1:]]))
val_dataloader = dict(dataset=dict(pipeline=[load, *_base_.test_pipeline[1:]]))
test_dataloader = val_dataloader
