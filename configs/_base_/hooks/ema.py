"""The moving average of the weights is tested and saved; add this file to `_base_` of your config."""

# the average follows the last 1000 steps, fewer at the beginning; BatchNorm statistics are averaged as well
ema_hook = dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.001, update_buffers=True, priority=49)
