"""The moving average of the weights is tested and saved; add this file to `_base_` of your config."""

# The average spans about 30 steps after 1000 steps, 130 after 1500, 430 after 2000 and 1000 in the end. With
# the default gamma, 2000, it would span two after 1800: no average in a short training. BatchNorm statistics
# are averaged, too.
ema_hook = dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.001, gamma=300, update_buffers=True, priority=49)
