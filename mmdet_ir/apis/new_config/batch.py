"""The largest batch that a GPU's memory holds, measured with two training steps."""

import copy
from itertools import islice

import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.device import get_device
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

SHARE = 0.8  # of the free memory, since images with more targets take more
LARGEST = 16  # images of a step; beyond it a step hardly gets faster by the image, and the steps of an epoch get few


def batch_for_device(settings: ConfigDict, images: int) -> tuple[int, str]:
    """Chooses a batch: that of the config on a CPU, the largest that fits on a GPU.

    Two training steps in float32 are run with the batch of the config, and two with twice as many images; the memory
    of others follows from the two, as it grows in proportion to the images. Mixed precision needs less.

    Args:
        settings: A whole config, with the data set's paths, classes and image sizes.
        images: Of the training part.

    Returns:
        The images of a step, and a sentence that says why.

    Raises:
        ValueError: If the GPU does not hold one image.
    """
    batch, device = settings.train_dataloader.batch_size, get_device()
    if device != 'cuda':
        return batch, f'The batch stays {batch}: the device is {device}, and memory is measured on CUDA devices only.'
    free, name = torch.cuda.mem_get_info()[0], torch.cuda.get_device_name()
    one = training_memory(settings, batch, device)
    while one is None and batch > 1:
        batch //= 2
        one = training_memory(settings, batch, device)
    if one is None:
        raise ValueError(
            f'expected a GPU that holds a training step of one image, got {name} with {free / 2**30:.1f} GiB free; '
            f'end other programs on it, or inherit from a smaller model'
        )
    two = training_memory(settings, 2 * batch, device)
    chosen = batch if two is None else largest_batch(batch, one, two, free, images)
    return chosen, (
        f'A batch of {chosen} on {name}: {batch} images take {one / 2**30:.2f} GiB in float32, {2 * batch} take '
        + (f'{two / 2**30:.2f} of {free / 2**30:.1f} GiB that are free.' if two else 'more than there is.')
    )


def largest_batch(batch: int, one: int, two: int, free: int, images: int) -> int:
    """The largest batch that fits, doubled or halved from one that was measured.

    Args:
        batch: Images of a step.
        one: Bytes that a step takes with them.
        two: Bytes with twice as many.
        free: Bytes of the device that are free.
        images: Of the training part; an epoch keeps eight steps, so far as the batch of the config has them.

    Example:
        >>> largest_batch(2, one=3 * 2**30, two=5 * 2**30, free=24 * 2**30, images=500)  # 1 GiB an image, and 1
        16
        >>> largest_batch(2, one=3 * 2**30, two=5 * 2**30, free=12 * 2**30, images=500)
        8
    """
    each = max(two - one, 0) / batch
    fixed = max(one - each * batch, 0)
    chosen = batch
    while chosen > 1 and fixed + each * chosen > SHARE * free:
        chosen //= 2
    while 2 * chosen <= min(LARGEST, images // 8) and fixed + each * 2 * chosen <= SHARE * free:
        chosen *= 2
    return chosen


def training_memory(settings: ConfigDict, batch: int, device: str) -> int | None:
    """Bytes that two training steps take at most on a GPU, ``None`` if it has less; 0 on devices that do not count.

    Args:
        settings: A whole config.
        batch: Images of a step.
        device: Such as ``'cuda'``.
    """
    init_default_scope('mmdet')
    loader = copy.deepcopy(settings.train_dataloader)
    loader.update(batch_size=batch, num_workers=0, persistent_workers=False)
    loader.pop('prefetch_factor', None)
    batches = Runner.build_dataloader(loader, seed=0)
    model_settings = copy.deepcopy(settings.model)
    model_settings.backbone.init_cfg = None  # the memory does not depend on the weights
    if model_settings.backbone.get('imagenet'):
        model_settings.backbone.imagenet = False
    if device == 'cuda':
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        model = MODELS.build(model_settings).to(device).train()
        wrapper = build_optim_wrapper(model, copy.deepcopy(settings.optim_wrapper))
        for data in islice(batches, 2):
            model.train_step(data, wrapper)
    except torch.OutOfMemoryError:
        return None
    return torch.cuda.max_memory_reserved() if device == 'cuda' else 0
