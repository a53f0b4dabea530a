"""Whether the masks that a model returns are pixels, before they are encoded, drawn or measured."""

from collections.abc import Iterator, Mapping

import numpy as np
from pycocotools import mask as mask_utils
from torch import Tensor, nn

_THRESHOLDS = ('mask_thr_binary', 'mask_thr')  # of test_cfg, in MMDetection and here
_REMEDY = 'the test_cfg of the model needs a threshold for masks, as in model.test_cfg.rcnn.mask_thr_binary=0.5'


def binary_masks(masks: Tensor | np.ndarray, where: object = 'the model') -> Tensor | np.ndarray:
    """Masks of pixels that belong to a target or not; probabilities and logits are refused.

    Nothing is thresholded here: which threshold is right is the model's matter. Every encoder takes any number but 0
    for a pixel of the target, so that masks of probabilities would cover whole images.

    Args:
        masks: Any shape; bool, or numbers that are 0 and 1 only.
        where: Where the masks come from, for the message.

    Returns:
        ``masks``, bool.

    Raises:
        ValueError: If there are other values.
    """
    if masks.dtype == bool or str(masks.dtype) == 'torch.bool':
        return masks
    found = masks != 0
    if bool((masks[found] != 1).any()):
        low, high = masks.min().item(), masks.max().item()
        raise ValueError(
            f'{where}: expected masks of 0 and 1, got {str(masks.dtype).removeprefix("torch.")} values from {low:.4g} '
            f'to {high:.4g}, such as probabilities: {_REMEDY}'
        )
    return found


def encode_masks(masks: Tensor | np.ndarray, where: object = 'the model') -> list[dict]:
    """COCO's compressed run-length code of masks ``[N, H, W]``, see ``binary_masks``."""
    masks = binary_masks(masks, where)
    masks = masks.detach().cpu().numpy() if isinstance(masks, Tensor) else masks
    return [mask_utils.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]


def check_mask_thresholds(model: nn.Module) -> None:
    """Refuses models whose settings make their masks probabilities, or all pixels.

    Raises:
        ValueError: If a threshold for masks in a ``test_cfg`` is not between 0 and 1; MMDetection takes values below 0
            for a wish for probabilities times 255. The message names the setting.
    """
    for name, part in model.named_modules():
        for path, value in _thresholds(getattr(part, 'test_cfg', None)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
                place = '.'.join(filter(None, ('model', name, 'test_cfg', path)))
                raise ValueError(f'{place}: expected a threshold between 0 and 1, got {value!r}; masks are of pixels')


def _thresholds(settings: object, path: str = '') -> Iterator[tuple[str, object]]:
    if not isinstance(settings, Mapping):
        return
    for key, value in settings.items():
        inner = f'{path}.{key}' if path else str(key)
        if key in _THRESHOLDS:
            yield inner, value
        yield from _thresholds(value, inner)
