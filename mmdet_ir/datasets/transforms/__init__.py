"""Transforms of a pipeline: loading as stored, tone mapping, and augmentation by what a camera does."""

from .augmentation import (
    DeadPixels,
    OpticsBlur,
    RandomGainOffset,
    RandomPolarity,
    SensorNoise,
    Vignetting,
)
from .copy_paste import TargetCopyPaste
from .loading import LoadIRImageFromFile
from .seeded import SeededByImage
from .target_contrast import RandomTargetContrast
from .tone_mapping import ToneMapping

__all__ = [
    'DeadPixels',
    'LoadIRImageFromFile',
    'OpticsBlur',
    'RandomGainOffset',
    'RandomPolarity',
    'RandomTargetContrast',
    'SeededByImage',
    'SensorNoise',
    'TargetCopyPaste',
    'ToneMapping',
    'Vignetting',
]
