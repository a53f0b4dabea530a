from .grey_stem_resnet import GreyStemResNet

__all__ = ['GreyStemResNet']
