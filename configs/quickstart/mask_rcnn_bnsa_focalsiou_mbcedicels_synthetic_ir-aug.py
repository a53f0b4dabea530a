"""The small full method on synthetic scenes, with every augmentation for infrared on (docs/guide/train.md).

A starting point, not a tuned recipe: which of them help depends on how far the recordings to come differ from the
training data.
"""

_base_ = './mask_rcnn_bnsa_focalsiou_mbcedicels_synthetic.py'

load_pipeline = _base_.train_pipeline[:-1]  # without PackDetInputs: what each of the two images goes through
train_pipeline = [
    dict(type='TargetCopyPaste', prob=0.5),
    dict(type='RandomPolarity', prob=0.3),
    dict(type='OpticsBlur', prob=0.3),
    dict(type='Vignetting', prob=0.3),
    dict(type='RandomGainOffset', prob=0.5),
    dict(type='SensorNoise', prob=0.5),
    dict(type='DeadPixels', prob=0.1),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MultiImageMixDataset',
        dataset={**_base_.train_dataloader.dataset, 'pipeline': load_pipeline},
        pipeline=train_pipeline,
    )
)
