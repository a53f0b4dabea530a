"""Converters from other releases' own layouts to COCO with the project's four classes."""

from .drone_ir import convert_drone_ir
from .hit_uav import convert_hit_uav
from .report import ConversionReport

__all__ = ['ConversionReport', 'convert_drone_ir', 'convert_hit_uav']
