"""The blender of BlendMask (Chen et al., CVPR 2020, Sec. 3.2): bases and attention maps make a mask."""

import torch.nn.functional as F
from torch import Tensor

from ..utils import to_full_precision


def blend_bases(pooled_bases: Tensor, attentions: Tensor) -> Tensor:
    """Adds up the bases of each box, weighted at every pixel by a softmax over the bases (Eq. 2-4).

    The attention maps are enlarged bilinearly to the size of the pooled bases, then normalised, in this order.
    Computed in float32 or better, whatever the autocast state.

    Args:
        pooled_bases: Bases within each box, shape ``[N, K, R, R]``.
        attentions: Attention logits, shape ``[N, K, A, A]``; N may be 0.

    Returns:
        Mask logits within each box, shape ``[N, R, R]``.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> import torch
        >>> from mmdet_ir.models.blendmask import blend_bases
        >>> bases = torch.stack([torch.full((2, 2), 1.0), torch.full((2, 2), 3.0)])[None]
        >>> blend_bases(bases, torch.zeros(1, 2, 1, 1))  # equal attention: the mean of the bases
        tensor([[[2., 2.],
                 [2., 2.]]])
    """
    if pooled_bases.dim() != 4 or attentions.dim() != 4 or pooled_bases.shape[:2] != attentions.shape[:2]:
        raise ValueError(
            'expected pooled_bases [N, K, R, R] and attentions [N, K, A, A], '
            f'got {[*pooled_bases.shape]} and {[*attentions.shape]}'
        )
    pooled_bases, attentions = to_full_precision(pooled_bases), to_full_precision(attentions)
    if not len(attentions):  # interpolation refuses an empty batch; both inputs stay connected
        return pooled_bases.sum(1) + attentions.sum()
    size = pooled_bases.shape[2:]
    weights = F.interpolate(attentions, size=size, mode='bilinear', align_corners=False).softmax(dim=1)
    return (pooled_bases * weights).sum(1)
