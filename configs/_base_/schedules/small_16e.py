"""`small_8e.py`, twice as long."""

_base_ = './small_8e.py'

max_epochs = 16
train_cfg = dict(max_epochs=max_epochs, val_interval=4)
param_scheduler = [
    dict(
        type='OneCycleLR',
        eta_max=0.002,
        pct_start=0.15,
        total_steps=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
