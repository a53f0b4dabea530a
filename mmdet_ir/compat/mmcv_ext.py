"""Loaded as ``mmcv._ext`` with mmcv-lite: the operators that detection needs, under mmcv's own signatures."""

from collections.abc import Callable

from mmdet_ir.compat.ops.deform import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from mmdet_ir.compat.ops.focal import sigmoid_focal_loss_backward, sigmoid_focal_loss_forward
from mmdet_ir.compat.ops.nms import nms, softnms
from mmdet_ir.compat.ops.roi import roi_align_backward, roi_align_forward, roi_pool_backward, roi_pool_forward

__all__ = [
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'nms',
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softnms',
]


def __getattr__(name: str) -> Callable:
    # mmcv asks for all its operators by `hasattr` when mmcv.ops is imported, so the error has to wait for the call.
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

    def unavailable(*args: object, **kwargs: object) -> None:
        raise NotImplementedError(
            f'mmcv operator {name!r} is not available: mmcv-lite has no compiled operators, and mmdet_ir serves only '
            f'{", ".join(__all__)} (from torchvision). To get it, replace mmcv-lite by a full mmcv: '
            '`pip uninstall -y mmcv-lite && pip install -U openmim && mim install "mmcv>=2.0.0rc4,<2.2.0"` '
            '(where no wheel fits your PyTorch, this builds it from source and needs a C++ compiler).'
        )

    unavailable.__name__ = name
    return unavailable
