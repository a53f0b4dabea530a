"""The compound mask loss, timed against MMDetection's cross-entropy and against itself one RoI at a time."""

import torch
from mmdet.registry import MODELS
from torch import nn

from .subject import interleaved


class LoopMaskLoss(nn.Module):
    """The compound mask loss with the Lovasz part one RoI at a time, as usually published."""

    def forward(self, pred: torch.Tensor, target: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        logits = pred[torch.arange(len(pred)), label].flatten(1)
        target = target.flatten(1)
        probs = logits.sigmoid()
        bce = nn.functional.binary_cross_entropy_with_logits(logits, target)
        dice = 1 - 2 * (probs * target).sum(1) / (probs.sum(1) + target.sum(1))
        lovasz = logits.new_zeros(())
        for x, y in zip(probs, target, strict=True):
            errors, order = (y - x).abs().sort(descending=True)
            hit = y[order]
            jaccard = 1 - (hit.sum() - hit.cumsum(0)) / (hit.sum() + (1 - hit).cumsum(0))
            increments = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
            lovasz = lovasz + (errors * increments).sum()
        return bce + dice.mean() + 0.1 * lovasz / len(pred)


def time_mask_losses(rois: int, classes: int, repeats: int, device: str) -> dict[str, float]:
    """Median seconds of forward and backward of each mask loss, 28x28 logits."""
    gen = torch.Generator().manual_seed(0)
    pred = torch.randn(rois, classes, 28, 28, generator=gen).to(device).requires_grad_()
    target = (torch.rand(rois, 28, 28, generator=gen) > 0.5).float().to(device)
    label = torch.randint(0, classes, (rois,), generator=gen).to(device)
    losses = {
        'MBCEDiceLovaszLoss': MODELS.build({'type': 'MBCEDiceLovaszLoss'}),
        'CrossEntropyLoss': MODELS.build({'type': 'CrossEntropyLoss', 'use_mask': True}),
        'loop over RoIs': LoopMaskLoss(),
    }

    def action(loss: nn.Module) -> None:
        pred.grad = None
        loss(pred, target, label).sum().backward()

    return interleaved({name: lambda loss=loss: action(loss) for name, loss in losses.items()}, repeats, device)
