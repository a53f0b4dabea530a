"""The small full method on real images, from the weights that the demo learned on synthetic scenes.

Polarity inversion stands for recordings by day and by night, and images with rare classes come more often, since
seven of ten training images show nothing but a drone.
"""

_base_ = [
    '../_base_/models/mask_rcnn_small_bnsa_focalsiou_mbcedicels.py',
    '../_base_/datasets/real.py',
    '../_base_/schedules/small_6e.py',
    '../_base_/small_runtime.py',
]

load_from = 'work_dirs/demo/epoch_6.pth'

train_pipeline = [
    dict(type='LoadIRImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomCrop', crop_size=_base_.image_size, allow_negative_crop=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Invert', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ClassBalancedDataset',
        oversample_thr=0.5,
        dataset=dict(
            type='IRDataset',
            data_root='data/real/',
            ann_file='annotations/train.json',
            data_prefix=dict(img='images/'),
            filter_cfg=dict(filter_empty_gt=False),
            pipeline=train_pipeline,
        ),
    )
)
