"""BoxInst + Focal-SIoU box loss."""

_base_ = './boxinst_r50_fpn.py'

model = dict(
    bbox_head=dict(
        # 1.3: as strong a gradient as that of GIoU with weight 1 (docs/method/rivals.md)
        loss_bbox=dict(_delete_=True, type='FocalSIoULoss', gamma=0.5, loss_weight=1.3),
        # Only without pretrained weights: boxes of no size have a focal weight of 0; these reach one stride each way.
        init_cfg=dict(
            type='Normal',
            layer='Conv2d',
            std=0.01,
            override=[
                dict(type='Normal', name='conv_cls', std=0.01, bias_prob=0.01),
                dict(type='Normal', name='conv_reg', std=0.01, bias=1.0),
            ],
        ),
    )
)
