"""The default runtime, with weights laid out for faster convolutions on a CPU."""

_base_ = './default_runtime.py'

custom_hooks = [dict(type='NumClassCheckHook'), dict(type='EnvironmentHook'), dict(type='ChannelsLastHook')]
