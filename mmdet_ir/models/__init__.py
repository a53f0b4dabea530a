from .layers import BNSA, SqueezeAttention
from .losses import FocalCIoULoss, FocalEIoULoss, FocalSIoULoss, MBCEDiceLovaszLoss
from .necks import PluginFPN

__all__ = [
    'BNSA',
    'FocalCIoULoss',
    'FocalEIoULoss',
    'FocalSIoULoss',
    'MBCEDiceLovaszLoss',
    'PluginFPN',
    'SqueezeAttention',
]
