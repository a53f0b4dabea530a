"""Adaptation to recordings without labels: the statistics of BatchNorm are estimated anew on their images.

Schneider et al., "Improving robustness against common corruptions by covariate shift adaptation", NeurIPS 2020;
Nado et al., "Evaluating prediction-time batch normalization for robustness under covariate shift", 2020.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice

import numpy as np
import torch
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from ..fileio import refuse_overwriting, whole_file
from .inference.inferencer import IRInferencer
from .inference.inputs import Skipped, Source, count_frames, find_sources, read_frames
from .inference.live import is_live, shown
from .launch import require_checkpoint


def adapt(
    config: str | os.PathLike,
    checkpoint: str | os.PathLike,
    inputs: Sequence[str],
    out: str | os.PathLike,
    *,
    number: int = 256,
    batch_size: int = 8,
    keep: float = 0.0,
    device: str | None = None,
    cfg_options: dict | None = None,
) -> dict:
    """Writes a checkpoint whose BatchNorm statistics are those of the given images; weights stay as they are.

    Args:
        config: Config file, or the name of a model that comes with the package.
        checkpoint: Trained weights.
        inputs: Images, folders or videos, see ``find_sources``.
        out: Checkpoint to write.
        number: Images to use, at most, taken evenly.
        batch_size: Images of one size that go through the network together.
        keep: Share of the trained statistics that stays, from 0 to 1; for few images.
        device: Defaults to the GPU if there is one.
        cfg_options: Settings that replace the config's.

    Returns:
        ``images`` and ``layers``, how many were used and estimated anew, and ``skipped``, the file and reason of each
        image that was left out.

    Raises:
        FileNotFoundError: If config, checkpoint or an input is missing.
        ValueError: If an argument is out of range, an input is a live source or would be replaced, the checkpoint does
            not fit, the network has no BatchNorm between image and features, or no image can be used.
    """
    if number < 1 or batch_size < 1 or not 0 <= keep < 1:
        raise ValueError(
            f'expected number and batch size from 1 on and keep from 0 to below 1, got {number}, {batch_size}, {keep}'
        )
    live = [shown(given) for given in map(str, inputs) if is_live(given)]
    if live:
        raise ValueError(
            f'input {live[0]}: expected images, folders or videos, got a camera, a stream or standard input; save a '
            'recording of it first'
        )
    refuse_overwriting(out, (config, require_checkpoint(str(checkpoint)), *inputs))
    sources = find_sources(inputs, out)
    inferencer = IRInferencer(config, checkpoint, device, show_progress=False, cfg_options=cfg_options)
    used, skipped = Counter(images=0), []
    batches = _batches(inferencer, _read(inferencer, sources, number, used, skipped), batch_size, used, skipped)
    first = next(batches, None)
    if first is None:
        raise ValueError(
            f'{", ".join(map(str, inputs))}: expected at least one image that can be used, got none; the first: '
            f'{skipped[0]}'
        )
    layers = estimate_statistics(inferencer.model, chain([first], batches), keep)
    content = CheckpointLoader.load_checkpoint(require_checkpoint(str(checkpoint)), map_location='cpu')
    state = {name: value.cpu() for name, value in inferencer.model.state_dict().items()}
    with whole_file(out) as file:
        meta = {**(content.get('meta') or {}), 'cfg': inferencer.cfg.pretty_text}
        torch.save({'meta': meta, 'state_dict': state}, file)
    return {**used, 'skipped': skipped, 'layers': layers}


def estimate_statistics(model: nn.Module, batches: Iterable[Tensor], keep: float = 0.0) -> int:
    """Estimates mean and variance of every BatchNorm of backbone and neck anew, also of frozen ones.

    Args:
        model: Detector of MMDetection; its statistics are changed in place.
        batches: Images ``[N, C, H, W]`` as the backbone takes them. A batch counts by its images, so that a last,
            smaller one weighs less.
        keep: Share of the old statistics that stays.

    Returns:
        The number of layers.

    Raises:
        ValueError: If there is no such layer, or no batch.
    """
    features = _Features(model)
    layers = features.layers()
    if not layers:
        raise ValueError('expected a model with BatchNorm in its backbone or neck, got one without')
    old = [(layer.running_mean.clone(), layer.running_var.clone()) for layer in layers]
    with _modes_kept(model):
        update_bn(_by_images(batches, layers), features)
    if any(layer.num_batches_tracked == 0 for layer in layers):
        raise ValueError('expected at least one image to estimate the statistics of, got none')
    for layer, (mean, variance) in zip(layers, old, strict=True):
        layer.running_mean.lerp_(mean, keep)
        layer.running_var.lerp_(variance, keep)
    return len(layers)


@contextmanager
def _modes_kept(model: nn.Module) -> Iterator[None]:
    """Afterwards each module is in training or not as before."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _by_images(batches: Iterable[Tensor], layers: Sequence[_BatchNorm]) -> Iterator[Tensor]:
    """The batches; before each, the layers get its share of all images so far, where ``update_bn`` counts batches."""
    total = 0
    for batch in batches:
        total += len(batch)
        for layer in layers:
            layer.momentum = len(batch) / total
        yield batch


class _Features(nn.Module):
    """Backbone and neck; in training mode all of their BatchNorm layers estimate, whatever is frozen."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.backbone = model.backbone
        self.neck = model.neck if getattr(model, 'with_neck', False) else nn.Identity()

    def layers(self) -> list[_BatchNorm]:
        return [m for m in self.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]

    def train(self, mode: bool = True) -> '_Features':
        """Sets flags only: the backbones' own ``train`` keeps frozen stages as they are."""
        for module in self.modules():
            module.training = False  # dropout and stochastic depth stay off
        for layer in self.layers():
            layer.training = mode
        return self

    def forward(self, images: Tensor) -> object:
        return self.neck(self.backbone(images))

    @torch.no_grad()
    def has_variances(self, images: Tensor) -> bool:
        """Whether every layer gets more than one value of a channel from a batch; one value has no variance."""
        seen: list[int] = []
        hooks = [
            layer.register_forward_pre_hook(lambda _, given: seen.append(given[0][:, 0].numel()))
            for layer in self.layers()
        ]
        with _modes_kept(self):  # (the layers may be collecting statistics)
            self.train(False)(images)
        for hook in hooks:
            hook.remove()
        return min(seen, default=2) > 1


def _read(
    inferencer: IRInferencer, sources: Sequence[Source], number: int, used: Counter, skipped: list[str]
) -> Iterator[dict]:
    """Up to ``number`` prepared images, evenly from all; counts them, and notes those that cannot be used."""
    total = sum(count_frames(source) for source in sources)
    wanted = set(np.linspace(0, total - 1, min(number, total)).round().astype(int).tolist())
    found = (item for source in sources for item in read_frames(source, inferencer.read))
    for position, item in enumerate(islice(found, total)):
        if position not in wanted:
            continue
        try:
            if isinstance(item, Skipped):
                raise ValueError(item.reason)
            data = inferencer.prepare(item.image, item.path)
        except ValueError as error:
            skipped.append(str(error) if str(item.path) in str(error) else f'{item.path}: {error}')
            continue
        used['images'] += 1
        yield data


def _batches(
    inferencer: IRInferencer, frames: Iterable[dict], size: int, used: Counter, skipped: list[str]
) -> Iterator[Tensor]:
    """Batches of images of one size each, normalised; the last of each size may be smaller.

    An image that is alone in its batch and too small for statistics is left out, and noted.
    """
    features, enough = _Features(inferencer.model), {}
    for group in _groups(frames, size):
        batch = _preprocess(inferencer, group)
        if len(group) == 1 and batch.shape not in enough:
            enough[batch.shape] = features.has_variances(batch)
        if len(group) == 1 and not enough[batch.shape]:
            used['images'] -= 1
            name = group[0]['data_samples'].metainfo.get('img_path', 'image')
            skipped.append(
                f'{name}: alone in its batch, and so small that a layer of the network gets one value of each '
                f'channel, which has no variance; give several images of its size, or larger ones'
            )
            continue
        yield batch


def _groups(frames: Iterable[dict], size: int) -> Iterator[list[dict]]:
    waiting: dict[tuple, list[dict]] = {}
    for data in frames:
        group = waiting.setdefault(tuple(data['inputs'].shape), [])
        group.append(data)
        if len(group) == size:
            yield waiting.pop(tuple(data['inputs'].shape))
    yield from waiting.values()


def _preprocess(inferencer: IRInferencer, group: list[dict]) -> Tensor:
    batch = inferencer.collate_fn(group)
    return inferencer.model.data_preprocessor(batch, False)['inputs']
