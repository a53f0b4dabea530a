"""Plugin layers on chosen stages of a backbone."""

from collections.abc import Sequence

from mmcv.cnn import build_plugin_layer
from torch import nn


def build_stage_plugins(
    plugin: dict | None, stages: Sequence[int], in_channels: Sequence[int], read: Sequence[int]
) -> nn.ModuleDict:
    """Builds one plugin layer for each of the chosen stages.

    Args:
        plugin: Config of a registered mmcv plugin layer; ``None`` for no plugins.
        stages: Indices into ``in_channels``.
        in_channels: Channels of each stage.
        read: The stages that may have a plugin.

    Returns:
        The layers by stage number, which is text since ``ModuleDict`` wants it so.

    Raises:
        ValueError: If a stage is not in ``read``, or comes twice.
    """
    stages = list(stages) if plugin is not None else []
    if len(set(stages)) != len(stages) or not set(stages) <= set(read):
        raise ValueError(f'expected distinct plugin_stages within {list(read)}, got {stages}')
    return nn.ModuleDict({str(i): build_plugin_layer(plugin, in_channels=in_channels[i])[1] for i in stages})
