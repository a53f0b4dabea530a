auto_scale_lr = dict(base_batch_size=4, enable=False)
channels = 64
custom_hooks = [
    dict(type='NumClassCheckHook'),
    dict(type='EnvironmentHook'),
    dict(type='ChannelsLastHook'),
    dict(momentum=0.01, type='EMAHook', update_buffers=True),
]
custom_imports = dict(
    allow_failed_imports=False, imports=[
        'mmdet_ir',
    ])
data_root = 'data/real/'
dataset_type = 'IRDataset'
default_hooks = dict(
    checkpoint=dict(
        _scope_='mmdet',
        by_epoch=False,
        interval=500,
        max_keep_ckpts=2,
        rule='greater',
        save_best=None,
        type='CheckpointHook'),
    logger=dict(_scope_='mmdet', interval=20, type='LoggerHook'),
    param_scheduler=dict(_scope_='mmdet', type='ParamSchedulerHook'),
    sampler_seed=dict(_scope_='mmdet', type='DistSamplerSeedHook'),
    timer=dict(_scope_='mmdet', type='IterTimerHook'),
    visualization=dict(_scope_='mmdet', type='IRVisualizationHook'))
default_scope = 'mmdet'
env_cfg = dict(
    cudnn_benchmark=False,
    dist_cfg=dict(backend='nccl'),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
image_size = (
    320,
    256,
)
load = dict(channels=1, type='LoadIRImageFromFile')
log_level = 'INFO'
log_processor = dict(
    _scope_='mmdet', by_epoch=True, type='LogProcessor', window_size=50)
max_iters = 2500
model = dict(
    _scope_='mmdet',
    backbone=dict(
        base_channels=32,
        depth=18,
        frozen_stages=-1,
        init_cfg=None,
        norm_cfg=dict(requires_grad=True, type='BN'),
        norm_eval=False,
        num_stages=4,
        out_indices=(
            0,
            1,
            2,
            3,
        ),
        stem_channels=32,
        style='pytorch',
        type='GreyStemResNet'),
    data_preprocessor=dict(
        bgr_to_rgb=False,
        mean=[
            114.495,
        ],
        pad_mask=True,
        pad_size_divisor=32,
        std=[
            57.63,
        ],
        type='DetDataPreprocessor'),
    neck=dict(
        in_channels=[
            32,
            64,
            128,
            256,
        ],
        num_outs=4,
        out_channels=64,
        plugin=dict(reduction=4, residual=True, type='BNSA'),
        plugin_stages=(
            1,
            2,
        ),
        type='PluginFPN'),
    roi_head=dict(
        bbox_head=dict(
            bbox_coder=dict(
                target_means=[
                    0.0,
                    0.0,
                    0.0,
                    0.0,
                ],
                target_stds=[
                    0.1,
                    0.1,
                    0.2,
                    0.2,
                ],
                type='DeltaXYWHBBoxCoder'),
            fc_out_channels=256,
            in_channels=64,
            loss_bbox=dict(gamma=0.5, loss_weight=10.0, type='FocalSIoULoss'),
            loss_cls=dict(
                loss_weight=1.0, type='CrossEntropyLoss', use_sigmoid=False),
            num_classes=4,
            reg_class_agnostic=True,
            reg_decoded_bbox=True,
            roi_feat_size=7,
            type='Shared2FCBBoxHead'),
        bbox_roi_extractor=dict(
            featmap_strides=[
                4,
                8,
                16,
                32,
            ],
            finest_scale=28,
            out_channels=64,
            roi_layer=dict(output_size=7, sampling_ratio=0, type='RoIAlign'),
            type='SingleRoIExtractor'),
        mask_head=dict(
            conv_out_channels=64,
            in_channels=64,
            loss_mask=dict(type='MBCEDiceLovaszLoss'),
            num_classes=4,
            num_convs=2,
            type='FCNMaskHead'),
        mask_roi_extractor=dict(
            featmap_strides=[
                4,
                8,
                16,
                32,
            ],
            finest_scale=28,
            out_channels=64,
            roi_layer=dict(output_size=14, sampling_ratio=0, type='RoIAlign'),
            type='SingleRoIExtractor'),
        type='StandardRoIHead'),
    rpn_head=dict(
        anchor_generator=dict(
            ratios=[
                0.5,
                1.0,
                2.0,
            ],
            scales=[
                3,
                5,
            ],
            strides=[
                4,
                8,
                16,
                32,
            ],
            type='AnchorGenerator'),
        bbox_coder=dict(
            target_means=[
                0.0,
                0.0,
                0.0,
                0.0,
            ],
            target_stds=[
                1.0,
                1.0,
                1.0,
                1.0,
            ],
            type='DeltaXYWHBBoxCoder'),
        feat_channels=64,
        in_channels=64,
        loss_bbox=dict(loss_weight=1.0, type='L1Loss'),
        loss_cls=dict(
            loss_weight=1.0, type='CrossEntropyLoss', use_sigmoid=True),
        type='RPNHead'),
    test_cfg=dict(
        rcnn=dict(
            mask_thr_binary=0.5,
            max_per_img=100,
            nms=dict(iou_threshold=0.5, type='nms'),
            score_thr=0.05),
        rpn=dict(
            max_per_img=200,
            min_bbox_size=0,
            nms=dict(iou_threshold=0.7, type='nms'),
            nms_pre=400)),
    train_cfg=dict(
        rcnn=dict(
            assigner=dict(
                ignore_iof_thr=-1,
                match_low_quality=True,
                min_pos_iou=0.5,
                neg_iou_thr=0.5,
                pos_iou_thr=0.5,
                type='MaxIoUAssigner'),
            debug=False,
            mask_size=28,
            pos_weight=-1,
            sampler=dict(
                add_gt_as_proposals=True,
                neg_pos_ub=-1,
                num=64,
                pos_fraction=0.25,
                type='RandomSampler')),
        rpn=dict(
            allowed_border=-1,
            assigner=dict(
                ignore_iof_thr=-1,
                match_low_quality=True,
                min_pos_iou=0.3,
                neg_iou_thr=0.3,
                pos_iou_thr=0.7,
                type='MaxIoUAssigner'),
            debug=False,
            pos_weight=-1,
            sampler=dict(
                add_gt_as_proposals=False,
                neg_pos_ub=-1,
                num=128,
                pos_fraction=0.5,
                type='RandomSampler')),
        rpn_proposal=dict(
            max_per_img=200,
            min_bbox_size=0,
            nms=dict(iou_threshold=0.7, type='nms'),
            nms_pre=400)),
    type='MaskRCNN')
optim_wrapper = dict(
    clip_grad=dict(max_norm=10),
    optimizer=dict(lr=0.001, type='AdamW', weight_decay=0.05),
    paramwise_cfg=dict(
        bias_decay_mult=0, bypass_duplicate=True, norm_decay_mult=0),
    type='OptimWrapper')
param_scheduler = [
    dict(begin=0, by_epoch=False, end=30, start_factor=0.01, type='LinearLR'),
    dict(
        begin=30,
        by_epoch=False,
        end=2500,
        end_factor=0.01,
        start_factor=1.0,
        type='LinearLR'),
]
randomness = dict(seed=0)
scales = (
    1.0,
    1.25,
    1.5,
    1.8,
    2.2,
)
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        ann_file='annotations/val.json',
        data_prefix=dict(img='images/'),
        data_root='data/real/',
        pipeline=[
            dict(channels=1, type='LoadIRImageFromFile'),
            dict(keep_ratio=True, scale_factor=1.5, type='Resize'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                meta_keys=(
                    'img_id',
                    'img_path',
                    'ori_shape',
                    'img_shape',
                    'scale_factor',
                ),
                type='PackDetInputs'),
        ],
        test_mode=True,
        type='IRDataset'),
    drop_last=False,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='DefaultSampler'))
test_evaluator = dict(
    ann_file='data/real/annotations/val.json',
    metric=[
        'bbox',
        'segm',
    ],
    type='IRCocoMetric')
test_pipeline = [
    dict(channels=1, type='LoadIRImageFromFile'),
    dict(keep_ratio=True, scale_factor=1.5, type='Resize'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
        ),
        type='PackDetInputs'),
]
train_cfg = dict(max_iters=2500, type='IterBasedTrainLoop', val_interval=2500)
train_dataloader = dict(
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    batch_size=4,
    dataset=dict(
        ann_file='annotations/train.json',
        data_prefix=dict(img='images/'),
        data_root='data/real/',
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=[
            dict(channels=1, type='LoadIRImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                transforms=[
                    [
                        dict(keep_ratio=True, scale_factor=1.0, type='Resize'),
                    ],
                    [
                        dict(
                            keep_ratio=True, scale_factor=1.25, type='Resize'),
                    ],
                    [
                        dict(keep_ratio=True, scale_factor=1.5, type='Resize'),
                    ],
                    [
                        dict(keep_ratio=True, scale_factor=1.8, type='Resize'),
                    ],
                    [
                        dict(keep_ratio=True, scale_factor=2.2, type='Resize'),
                    ],
                ],
                type='RandomChoice'),
            dict(
                allow_negative_crop=True,
                crop_size=(
                    320,
                    256,
                ),
                type='RandomCrop'),
            dict(
                direction=[
                    'horizontal',
                    'vertical',
                    'diagonal',
                ],
                prob=[
                    0.25,
                    0.25,
                    0.25,
                ],
                type='RandomFlip'),
            dict(prob=0.3, type='RandomPolarity'),
            dict(prob=0.5, type='RandomGainOffset'),
            dict(type='PackDetInputs'),
        ],
        type='IRDataset'),
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='ClassAwareSampler'))
train_pipeline = [
    dict(channels=1, type='LoadIRImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        transforms=[
            [
                dict(keep_ratio=True, scale_factor=1.0, type='Resize'),
            ],
            [
                dict(keep_ratio=True, scale_factor=1.25, type='Resize'),
            ],
            [
                dict(keep_ratio=True, scale_factor=1.5, type='Resize'),
            ],
            [
                dict(keep_ratio=True, scale_factor=1.8, type='Resize'),
            ],
            [
                dict(keep_ratio=True, scale_factor=2.2, type='Resize'),
            ],
        ],
        type='RandomChoice'),
    dict(allow_negative_crop=True, crop_size=(
        320,
        256,
    ), type='RandomCrop'),
    dict(
        direction=[
            'horizontal',
            'vertical',
            'diagonal',
        ],
        prob=[
            0.25,
            0.25,
            0.25,
        ],
        type='RandomFlip'),
    dict(prob=0.3, type='RandomPolarity'),
    dict(prob=0.5, type='RandomGainOffset'),
    dict(type='PackDetInputs'),
]
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        ann_file='annotations/dev.json',
        data_prefix=dict(img='images/'),
        data_root='data/real/',
        pipeline=[
            dict(channels=1, type='LoadIRImageFromFile'),
            dict(keep_ratio=True, scale_factor=1.5, type='Resize'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                meta_keys=(
                    'img_id',
                    'img_path',
                    'ori_shape',
                    'img_shape',
                    'scale_factor',
                ),
                type='PackDetInputs'),
        ],
        test_mode=True,
        type='IRDataset'),
    drop_last=False,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(shuffle=False, type='DefaultSampler'))
val_evaluator = dict(
    ann_file='data/real/annotations/dev.json',
    metric=[
        'bbox',
        'segm',
    ],
    type='IRCocoMetric')
vis_backends = [
    dict(_scope_='mmdet', type='LocalVisBackend'),
]
visualizer = dict(
    _scope_='mmdet',
    name='visualizer',
    type='DetLocalVisualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
    ])
