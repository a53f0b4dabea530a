"""ResNet with one input channel, which takes weights pretrained on colour images."""

from collections.abc import Sequence

import torch
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB, 0..255
IMAGENET_STD = (58.395, 57.12, 57.375)


@MODELS.register_module()
class GreyStemResNet(ResNet):
    """``ResNet`` for images ``[N, 1, H, W]``; the first convolution of pretrained weights is folded on loading.

    For a grey image the folded stem gives what the three-channel stem gives for three equal channels, each normalised
    with its own mean and deviation: the kernels are summed with weights, and the constant that remains of the
    different means goes into the running mean of the first BatchNorm. This is exact wherever the kernel lies within
    the image. On its rim, zero padding stands for ``grey_mean`` instead of three different values, unless all
    channels had equal statistics. Weights with one input channel load as they are.

    Args:
        grey_mean: Mean that the data preprocessor subtracts, 0..255.
        grey_std: Deviation that it divides by.
        rgb_mean: Means, in the order of the pretrained kernels' input channels.
        rgb_std: Deviations.
        kwargs: Of ``ResNet``, but for ``in_channels`` and ``deep_stem``.

    Raises:
        ValueError: For a deviation that is not above 0, or other numbers of means and deviations than three.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import GreyStemResNet
        >>> [level.shape[1] for level in GreyStemResNet(depth=18)(torch.zeros(1, 1, 64, 64))]
        [64, 128, 256, 512]
    """

    def __init__(
        self,
        grey_mean: float = sum(IMAGENET_MEAN) / 3,
        grey_std: float = sum(IMAGENET_STD) / 3,
        rgb_mean: Sequence[float] = IMAGENET_MEAN,
        rgb_std: Sequence[float] = IMAGENET_STD,
        **kwargs: object,
    ) -> None:
        if len(rgb_mean) != 3 or len(rgb_std) != 3:
            raise ValueError(f'expected three means and three deviations, got {rgb_mean} and {rgb_std}')
        if min(grey_std, *rgb_std) <= 0:
            raise ValueError(f'expected deviations above 0, got grey_std={grey_std} and rgb_std={rgb_std}')
        super().__init__(in_channels=1, deep_stem=False, **kwargs)
        self.grey_mean, self.grey_std = grey_mean, grey_std
        self.rgb_mean, self.rgb_std = tuple(rgb_mean), tuple(rgb_std)
        self.register_load_state_dict_pre_hook(_fold_colour_stem)


def _fold_colour_stem(module: GreyStemResNet, state_dict: dict, prefix: str, *_: object) -> None:
    """Replaces a three-channel ``conv1`` in ``state_dict``, before it is loaded.

    A grey value g is normalised to x = (g - m) / s; channel c of the colour model would get (s x + m - m_c) / s_c.

    Raises:
        ValueError: If the state has no running mean to take up the constant.
    """
    name = f'{prefix}conv1.weight'
    kernel = state_dict.get(name)
    if kernel is None or kernel.shape[1] != 3:
        return
    mean, std = (kernel.new_tensor(values).view(1, 3, 1, 1) for values in (module.rgb_mean, module.rgb_std))
    running = f'{prefix}{module.norm1_name}.running_mean'
    if running not in state_dict:
        raise ValueError(f'expected {running!r} in weights with three input channels (BatchNorm), got none')
    state_dict[name] = (kernel * (module.grey_std / std)).sum(dim=1, keepdim=True)
    constant = (kernel * ((module.grey_mean - mean) / std)).sum(dim=(1, 2, 3))
    state_dict[running] = state_dict[running] - torch.as_tensor(constant, dtype=state_dict[running].dtype)
