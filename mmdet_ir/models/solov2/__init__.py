"""SOLOv2 for targets that are smaller than a few cells of its mask feature."""

from .fine_head import FineSOLOV2Head

__all__ = ['FineSOLOV2Head']
