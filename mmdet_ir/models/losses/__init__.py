"""The paper's box and mask losses."""

from .box_geometry import BoxGeometry, box_geometry
from .focal_iou_loss import FocalCIoULoss, FocalEIoULoss, FocalSIoULoss
from .mask_loss import (
    MBCEDiceLovaszInstanceLoss,
    MBCEDiceLovaszLoss,
    mask_bce_loss,
    mask_dice_loss,
    mask_lovasz_loss,
)

__all__ = [
    'BoxGeometry',
    'FocalCIoULoss',
    'FocalEIoULoss',
    'FocalSIoULoss',
    'MBCEDiceLovaszInstanceLoss',
    'MBCEDiceLovaszLoss',
    'box_geometry',
    'mask_bce_loss',
    'mask_dice_loss',
    'mask_lovasz_loss',
]
