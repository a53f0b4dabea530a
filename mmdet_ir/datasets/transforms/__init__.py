from .augmentation import (
    DeadPixels,
    OpticsBlur,
    RandomGainOffset,
    RandomPolarity,
    SensorNoise,
    Vignetting,
)
from .copy_paste import TargetCopyPaste

__all__ = [
    'DeadPixels',
    'OpticsBlur',
    'RandomGainOffset',
    'RandomPolarity',
    'SensorNoise',
    'TargetCopyPaste',
    'Vignetting',
]
