"""Bottleneck squeeze-and-attention (BNSA): Wang & Ren, Symmetry 2025, 17, 1099, Fig. 5 and Eq. 4."""

from mmengine.registry import MODELS

from .squeeze_attention import SqueezeAttention


@MODELS.register_module()
class BNSA(SqueezeAttention):
    """SA with a bottleneck in each of its two channels.

    A 1x1 convolution before the two inner ones scales the channels to ``1 / reduction``, one after them scales
    the channels back. Pooling comes before the first and upsampling after the last, so that the attention
    channel works at the pooled size throughout. With ``reduction=4`` on C3 and C4 of ResNet-50 the
    convolutions add 4.26 M weights (Eq. 4); the paper's table implies 9.52 M, which its text does not yield.

    Args:
        in_channels: Channels of the input, and of the output; a multiple of ``reduction``.
        reduction: Divisor of the inner channels (1/4 in the paper).
        **kwargs: Arguments of :class:`SqueezeAttention`.

    Raises:
        ValueError: If ``in_channels`` is not a multiple of ``reduction``.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import BNSA
        >>> BNSA(in_channels=8, reduction=4)(torch.zeros(2, 8, 6, 5)).shape
        torch.Size([2, 8, 6, 5])
    """

    _abbr_ = 'bnsa'

    def __init__(self, in_channels: int, reduction: int = 4, **kwargs) -> None:
        if reduction < 1 or in_channels % reduction:
            raise ValueError(f'expected in_channels to be a multiple of reduction, got {in_channels} and {reduction}')
        self._inner_channels = in_channels // reduction
        super().__init__(in_channels, **kwargs)

    def _branch_layout(self, in_channels: int, kernel_size: int) -> list[tuple[int, int]]:
        """Reduce, two inner convolutions, expand."""
        inner = self._inner_channels
        return [(inner, 1), (inner, kernel_size), (inner, kernel_size), (in_channels, 1)]
