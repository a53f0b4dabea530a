"""Which graph fits a detector."""

from mmdet.models.detectors import CondInst, RTMDet, SOLOv2, TwoStageDetector
from torch import nn

from ...models import BlendMask, SparseInst
from .base import ExportableDetector
from .dense import ExportableBlendMask, ExportableCondInst, ExportableRTMDetIns
from .mask_lists import ExportableSOLOv2, ExportableSparseInst
from .two_stage import ExportableMaskRCNN

KINDS: tuple[tuple[type[nn.Module], type[ExportableDetector]], ...] = (
    (TwoStageDetector, ExportableMaskRCNN),
    (RTMDet, ExportableRTMDetIns),
    (CondInst, ExportableCondInst),
    (BlendMask, ExportableBlendMask),
    (SOLOv2, ExportableSOLOv2),
    (SparseInst, ExportableSparseInst),
)


def exportable_kind(detector: nn.Module) -> type[ExportableDetector]:
    """The graph of a detector.

    Raises:
        ValueError: If there is none for it.
    """
    for kind, graph in KINDS:
        if isinstance(detector, kind):
            return graph
    names = ', '.join(kind.__name__ for kind, _ in KINDS)
    raise ValueError(f'export: model: expected one of {names}, got {type(detector).__name__}')
