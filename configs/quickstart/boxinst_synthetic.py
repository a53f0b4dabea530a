"""Small BoxInst on synthetic scenes, from their boxes alone; their exact masks serve for the evaluation.

Half of the usual batch and of the usual epochs: BoxInst's pairwise loss makes a step dear on a CPU.
"""

_base_ = [
    '../_base_/models/boxinst_small.py',
    '../_base_/datasets/synthetic.py',
    '../_base_/schedules/small_6e.py',
    '../_base_/small_runtime.py',
]

model = dict(  # the original's dynamic convolutions of 16 channels, and more masks a step than boxinst_real.py has
    bbox_head=dict(num_params=593),
    mask_head=dict(feat_channels=16, topk_masks_per_img=16, mask_feature_head=dict(out_channels=16)),
)
max_epochs = 3
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.0015))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.002, by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
train_pipeline = [
    dict(type='LoadIRImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),  # no mask is read
    dict(type='Resize', scale=_base_.image_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
auto_scale_lr = dict(base_batch_size=4)
