"""The paper's parts, the infrared parts, and the baselines that MMDetection lacks; importing registers them."""

from .backbones import EfficientNetLite, GreyStemResNet
from .blendmask import BasisModule, BlendMask, BlendMaskHead, FCOSTopHead
from .boxinst import InfraredBoxInstDataPreprocessor
from .condinst import AuxiliarySemanticHead, CondInstSemanticMaskHead
from .layers import BNSA, SqueezeAttention
from .losses import FocalCIoULoss, FocalEIoULoss, FocalSIoULoss, MBCEDiceLovaszInstanceLoss, MBCEDiceLovaszLoss
from .necks import PluginFPN
from .solov2 import FineSOLOV2Head
from .sparseinst import InstanceContextEncoder, SparseInst, SparseInstHead, SparseInstMatcher
from .test_time_augs.tta import IRTTAModel

__all__ = [
    'AuxiliarySemanticHead',
    'BNSA',
    'BasisModule',
    'BlendMask',
    'BlendMaskHead',
    'CondInstSemanticMaskHead',
    'EfficientNetLite',
    'FCOSTopHead',
    'FineSOLOV2Head',
    'FocalCIoULoss',
    'FocalEIoULoss',
    'FocalSIoULoss',
    'GreyStemResNet',
    'IRTTAModel',
    'InfraredBoxInstDataPreprocessor',
    'InstanceContextEncoder',
    'MBCEDiceLovaszInstanceLoss',
    'MBCEDiceLovaszLoss',
    'PluginFPN',
    'SparseInst',
    'SparseInstHead',
    'SparseInstMatcher',
    'SqueezeAttention',
]
