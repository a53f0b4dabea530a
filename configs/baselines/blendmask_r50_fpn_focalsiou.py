"""BlendMask + Focal-SIoU box loss."""

_base_ = './blendmask_r50_fpn.py'

model = dict(
    bbox_head=dict(
        # 1.5: the gradient is as large as that of GIoU, with boxes as training starts
        loss_bbox=dict(_delete_=True, type='FocalSIoULoss', gamma=0.5, loss_weight=1.5),
        # FCOS starts with boxes of no size, whose focal weight IoU^gamma is 0; these reach one stride to each side.
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
