"""SparseInst: Cheng et al., Sparse Instance Activation for Real-Time Instance Segmentation, CVPR 2022.

Behaviour follows the authors' repository (hustvl/SparseInst); ``docs/method/rivals.md`` lists what deviates.
"""

from mmdet.models.detectors.single_stage_instance_seg import SingleStageInstanceSegmentor
from mmdet.registry import MODELS


@MODELS.register_module()
class SparseInst(SingleStageInstanceSegmentor):
    """MMDetection's single-stage segmentor under the paper's name.

    ``backbone``, then :class:`InstanceContextEncoder` as ``neck``, then :class:`SparseInstHead` as ``mask_head``. It
    has no box head: boxes are those around the masks. ``train_cfg`` and ``test_cfg`` are the mask head's.

    Example:
        >>> from mmdet.registry import MODELS
        >>> from mmdet_ir.models import SparseInst
        >>> MODELS.get('SparseInst') is SparseInst  # as configs/baselines/sparseinst_r50_iam.py names it
        True
    """
