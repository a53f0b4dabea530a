"""Memory layout for faster convolutions."""

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Lays the model's weights out channels-last before training, validation or testing starts.

    Convolutions hand the layout of their weights on to their outputs, so the images need no conversion. It helps
    CPUs, and GPUs under mixed precision; results stay the same up to rounding.

    Example:
        >>> from mmengine.registry import HOOKS
        >>> custom_hooks = [{'type': 'ChannelsLastHook'}]  # in a config
        >>> type(HOOKS.build(custom_hooks[0])).__name__
        'ChannelsLastHook'
    """

    def before_run(self, runner: Runner) -> None:
        """Converts the model in place; parameters stay the same objects, as optimizers need."""
        runner.model.to(memory_format=torch.channels_last)
