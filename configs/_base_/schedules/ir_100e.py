"""The paper's schedule: 100 epochs at learning rate 0.001 with warm-up. What it leaves open is marked."""

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    # assumption: SGD with momentum 0.9 and decay 1e-4, as in MMDetection's schedules
    optimizer=dict(type='SGD', lr=0.001, momentum=0.9, weight_decay=0.0001),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),  # assumption: 500 steps
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=100, milestones=[70, 90], gamma=0.1),  # assumption
]
# The learning rate holds for 2 images on each of 2 GPUs; `--auto-scale-lr` scales it to what you run.
auto_scale_lr = dict(enable=False, base_batch_size=4)
