"""Steps at a constant learning rate, which can go on for as long as the data allow; see
`configs/edge/mask_rcnn_small_real_cooldown.py` for the end of such a run.

What is tested and saved is the moving average of the weights, which stands for the annealing.
"""

max_iters = 6000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=10 * max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.001, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100)]
auto_scale_lr = dict(enable=False, base_batch_size=4)
