"""A GPU whose memory is used up, and images that are too small: one line with the numbers of the run, and remedies."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config

from ..datasets.wrappers import pipeline_steps


class OutOfGpuMemory(ValueError):
    """The GPU's memory is used up; the message says what the run had and what to lower."""


@contextmanager
def gpu_memory_errors(cfg: Config, loader: str, mixed_precision: bool = False) -> Iterator[None]:
    """Turns PyTorch's error of a full GPU into a line for the user.

    Args:
        cfg: Config of the run.
        loader: Its data loader that gives the batches: ``'train'``, ``'val'`` or ``'test'``.
        mixed_precision: Whether the run has it already.

    Raises:
        OutOfGpuMemory: In the place of ``torch.OutOfMemoryError``.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfGpuMemory(memory_advice(str(error), cfg, loader, mixed_precision)) from error


@contextmanager
def small_map_errors(cfg: Config) -> Iterator[None]:
    """Names the remedies where a batch normalisation gets one value of each channel, which has no deviation.

    Args:
        cfg: Of the training.

    Raises:
        ValueError: In the place of PyTorch's.
    """
    try:
        yield
    except ValueError as error:
        if 'Expected more than 1 value per channel' not in str(error):
            raise
        batch = cfg.train_dataloader.get('batch_size', 1)
        raise ValueError(
            f'train_dataloader: the images of a step (batch_size={batch}) are so small that a batch normalisation '
            f'gets one value of each channel ({str(error).rsplit("input size ", 1)[-1]}) and cannot train on it; take '
            f'larger crops or a larger scale in the training pipeline, a batch_size above 1, or a model without batch '
            f"normalisation there, such as norm_cfg=dict(type='GN', num_groups=8)"
        ) from error


def memory_advice(message: str, cfg: Config, loader: str, mixed_precision: bool) -> str:
    """The line; arguments as those of :func:`gpu_memory_errors`, and PyTorch's message."""
    key = f'{loader}_dataloader'
    batch, steps = cfg[key].get('batch_size', 1), pipeline_steps(cfg[key].dataset)
    scale = next((step['scale'] for step in steps if 'Resize' in str(step['type']) and step.get('scale')), None)
    facts = [f'{key}.batch_size={batch}', f'images of {scale[0]}x{scale[1]}' if _is_size(scale) else '']
    facts.append('mixed precision' if mixed_precision else 'float32')
    means = [f'--cfg-options {key}.batch_size={batch // 2}'] if batch > 1 else []
    if loader == 'train':
        means += [] if mixed_precision else ['--amp']
        means += ['with_cp=True of a ResNet (--cfg-options model.backbone.with_cp=True)'] if batch == 1 else []
    means.append("a smaller scale of the pipeline's Resize")
    if (processes := _others(message)) is not None:
        means.append(f'end the other programs on the GPU, which hold {processes}')
    said = re.sub(r'\s+', ' ', message).split(' If reserved but')[0].split(' See documentation')[0].strip()
    return (
        f'out of GPU memory: expected a run that fits, got {", ".join(filter(None, facts))} ({said}). '
        f'Lower it: {"; ".join(means)}'
    )


def _is_size(scale: object) -> bool:
    return isinstance(scale, list | tuple) and len(scale) == 2 and all(isinstance(side, int) for side in scale)


def _others(message: str) -> str | None:
    """What other processes hold, where PyTorch knows it."""
    held = re.findall(r'Process \d+ has ([\d.]+ [KMG]iB) memory in use', message)
    return ', '.join(held) or None
