"""Backbones."""

from .efficientnet_lite import EfficientNetLite
from .grey_stem_resnet import GreyStemResNet

__all__ = ['EfficientNetLite', 'GreyStemResNet']
