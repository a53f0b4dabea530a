"""One-to-one matching of SparseInst: Cheng et al., CVPR 2022."""

import torch
from mmdet.models.task_modules.assigners import AssignResult, BaseAssigner
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..utils import to_full_precision


def dice_scores(logits: Tensor, targets: Tensor, eps: float = 1e-4) -> Tensor:
    """Dice coefficient of every prediction with every target, with squares in the divisor.

    Args:
        logits: Mask logits, shape ``[N, P]``, P pixels.
        targets: Masks, shape ``[T, P]``, values in [0, 1].
        eps: Added to the divisor.

    Returns:
        Shape ``[N, T]``, values in [0, 1].
    """
    probs = logits.sigmoid()
    squares = probs.square().sum(1)[:, None] + targets.square().sum(1)
    return 2 * probs @ targets.T / (squares + eps)


@TASK_UTILS.register_module()
class SparseInstMatcher(BaseAssigner):
    """Assignment of targets to predictions with the largest sum of ``dice^alpha * p^beta``.

    ``p`` is the predicted probability of the target's class. The score is a product, and a sum of products is not
    what MMDetection's ``HungarianAssigner`` can optimise: its costs are added.

    Args:
        alpha: Exponent of the Dice coefficient.
        beta: Exponent of the class probability; ``1 - alpha`` in the paper.

    Example:
        >>> import torch
        >>> from mmengine.structures import InstanceData
        >>> from mmdet_ir.models import SparseInstMatcher
        >>> masks = torch.tensor([[[-9.0, -9]], [[9.0, -9]]])  # logits of two predictions; the second one fits
        >>> found = InstanceData(scores=torch.zeros(2, 4), masks=masks)
        >>> target = InstanceData(labels=torch.tensor([3]), masks=torch.tensor([[[1.0, 0]]]))
        >>> SparseInstMatcher().assign(found, target).gt_inds
        tensor([0, 1])
    """

    def __init__(self, alpha: float = 0.8, beta: float = 0.2) -> None:
        self.alpha, self.beta = alpha, beta

    @torch.no_grad()
    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
    ) -> AssignResult:
        """Matches one image; call it outside of autocast.

        Args:
            pred_instances: ``scores``, class logits ``[N, K]``, and ``masks``, mask logits ``[N, h, w]``.
            gt_instances: ``labels`` ``[T]`` and ``masks`` ``[T, h, w]``, values in [0, 1]. T may be 0 or above N,
                in which case the worst-matched targets stay without prediction.
            gt_instances_ignore: Not used.

        Returns:
            ``gt_inds`` ``[N]``: 0 for background, else the target's index plus 1; ``labels`` ``[N]``: -1 or the class.
        """
        labels = gt_instances.labels
        gt_inds = labels.new_zeros(len(pred_instances.scores))
        assigned_labels = torch.full_like(gt_inds, -1)
        if len(labels):
            dice = dice_scores(to_full_precision(pred_instances.masks).flatten(1), gt_instances.masks.flatten(1))
            probs = to_full_precision(pred_instances.scores).sigmoid()[:, labels]
            # SciPy refuses NaN. Matched anyhow, NaN reaches the loss, where training ends with the batch's name.
            score = (dice**self.alpha * probs**self.beta).nan_to_num(nan=0.0)
            rows, columns = linear_sum_assignment(score.cpu().numpy(), maximize=True)
            rows, columns = (torch.from_numpy(indices).to(labels.device) for indices in (rows, columns))
            gt_inds[rows] = columns + 1
            assigned_labels[rows] = labels[columns]
        return AssignResult(len(labels), gt_inds, None, assigned_labels)
