"""Test-time augmentation with masks."""

from .tta import IRTTAModel

__all__ = ['IRTTAModel']
