"""A warm-up whose length is a share of the training."""

from mmengine.optim import LinearLR
from mmengine.registry import PARAM_SCHEDULERS
from torch.optim import Optimizer


@PARAM_SCHEDULERS.register_module()
class LinearWarmupLR(LinearLR):
    """Raises the learning rate from a fraction of its value, in the first share of the steps of the training.

    A number of steps that suits a long training fills a short training to its end. With a share, the warm-up follows
    the length of the training, the size of the data set and the batch.

    Args:
        optimizer: The optimiser, or its wrapper.
        share: Part of the training that the warm-up takes, between 0 and 1.
        start_factor: Learning rate of the first step, as a fraction of its value.
        end: Steps of the training; mmengine fills it in.
        by_epoch: Has to be set to ``False``, since the warm-up counts steps.
        last_step: Of a training that goes on.
        verbose: Whether to print each value.

    Raises:
        ValueError: If ``share`` is not between 0 and 1, or ``by_epoch`` is not ``False``.

    Example:
        >>> import torch
        >>> from mmdet_ir.engine.warm_up import LinearWarmupLR
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        >>> schedule = LinearWarmupLR(optimizer, share=0.1, end=200, by_epoch=False)
        >>> schedule.end
        20
    """

    def __init__(
        self,
        optimizer: Optimizer,
        share: float = 0.05,
        start_factor: float = 0.001,
        end: int = 0,
        by_epoch: bool = True,
        last_step: int = -1,
        verbose: bool = False,
    ) -> None:
        if not 0 < share < 1:
            raise ValueError(f'LinearWarmupLR: share: expected a number between 0 and 1, got {share!r}')
        if by_epoch:
            raise ValueError('LinearWarmupLR: by_epoch: expected False, because the warm-up counts steps, got True')
        steps = max(2, round(share * end))
        super().__init__(
            optimizer,
            start_factor=start_factor,
            begin=0,
            end=steps,
            last_step=last_step,
            by_epoch=False,
            verbose=verbose,
        )
