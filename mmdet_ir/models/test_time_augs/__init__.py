from .tta import IRTTAModel

__all__ = ['IRTTAModel']
