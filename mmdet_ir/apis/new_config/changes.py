"""What a config of ours has to change for another data set: classes, loaders, input, anchors, limits."""

import copy
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from mmengine.config import ConfigDict

from ...config.lengths import set_batch_size
from ...model_zoo import model_names
from ...visualization.colors import class_colors
from .batch import batch_for_device
from .facts import DataFacts

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_LOAD, _TONE = 'LoadIRImageFromFile', 'ToneMapping'
_FIT = 1.5  # anchors stay where the smallest is within this factor of the smallest targets
_SMALL = 10  # percentile of the targets' sizes that the smallest anchor should meet
_LONGEST = 1344  # pixels; larger images are reduced to this side


@dataclass
class Plan:
    """Settings of a new config, and what a person should know about them.

    Attributes:
        settings: The whole config as it should be, apart from what is not changed.
        notes: Sentences for the screen and for the config's docstring.
    """

    settings: ConfigDict
    notes: list[str] = field(default_factory=list)


def adapt(
    base: ConfigDict,
    facts: DataFacts,
    data_root: str,
    splits: tuple[str, str],
    image_folder: str,
    batch_size: int | str | None = None,
) -> Plan:
    """Changes a config for a data set.

    Args:
        base: The config to inherit from; stays as it is.
        facts: Of the training part.
        data_root: Folder of the data set, with a slash at its end.
        splits: Annotation files of training and validation, relative to ``data_root``.
        image_folder: Relative to ``data_root``.
        batch_size: Images of a training step; the learning rate follows it. ``'auto'``: the largest that a GPU
            holds, see :func:`~.batch.batch_for_device`. ``None``: that of the base.

    Raises:
        ValueError: If the base has no loaders or no ``num_classes``, or holds data sets that were joined.
    """
    plan = Plan(copy.deepcopy(base))
    _set_data(plan, facts, data_root, splits, image_folder)
    _set_classes(plan.settings.model, len(facts.classes))
    _set_anchors(plan, facts)
    _set_limits(plan, facts)
    if batch_size == 'auto':
        batch_size, note = batch_for_device(plan.settings, facts.images)
        plan.notes.append(note)
    if batch_size is not None and batch_size != plan.settings.train_dataloader.batch_size:
        _set_batch(plan, batch_size)
    _set_start(plan)
    return plan


def innermost(dataset: ConfigDict) -> ConfigDict:
    """The data set within its wrappers.

    Raises:
        ValueError: If several data sets are joined.
    """
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    if 'datasets' in dataset:
        raise ValueError('expected a base config with a single data set in each loader, got several that are joined')
    return dataset


def _set_data(plan: Plan, facts: DataFacts, data_root: str, splits: tuple[str, str], image_folder: str) -> None:
    settings = plan.settings
    palette = [tuple(int(value) for value in color) for color in 255 * class_colors(len(facts.classes))]
    for name in _LOADERS:
        if settings.get(name) is None:
            raise ValueError(f'{name}: expected a base config with loaders for training, validation and test')
        dataset = innermost(settings[name].dataset)
        dataset.update(
            data_root=data_root,
            ann_file=splits[name != 'train_dataloader'],
            data_prefix={'img': image_folder},
            metainfo={'classes': facts.classes, 'palette': palette},
        )
        dataset.pop('image_key', None)
        dataset.pipeline = _adapt_pipeline(dataset.pipeline, facts)
    for name in ('val_evaluator', 'test_evaluator'):
        settings[name].ann_file = data_root + splits[1]
    if len(facts.sizes) > 1:
        others = facts.images - facts.sizes[facts.size]
        plan.notes.append(f'{others} of {facts.images} images have other sizes than {facts.size[0]}x{facts.size[1]}.')
    if facts.window is None and facts.depth != '8-bit':
        plan.notes.append(
            f'The images have different depths: {facts.depth}. The tone mapping stretches each image between its own '
            f'percentiles; tools/data/convert.py --depth makes a data set of one depth, which can have one window.'
        )
    if facts.window:
        low, high = facts.window
        plan.notes.append(f'The images hold {facts.depth} values; the tone mapping keeps {low:.6g} to {high:.6g}.')


def _adapt_pipeline(pipeline: list[dict], facts: DataFacts) -> list[dict]:
    """The pipeline with another way in: loader and tone mapping for the depth, the size of the images."""
    steps = [ConfigDict(step) for step in pipeline if step['type'] != _TONE]
    place = next((i for i, step in enumerate(steps) if step['type'] == _LOAD), None)
    if place is None:
        raise ValueError(f'pipeline: expected a base config that loads with {_LOAD}, got {steps[0]["type"]}')
    given = next((step for step in pipeline if step['type'] == _TONE), {})
    channels = given.get('channels', 3) if given else steps[place].get('channels', 3)
    if facts.window:
        floats = facts.depth == 'float'
        low, high = (float(f'{value:.6g}') if floats else round(value, 0) for value in facts.window)
        steps[place] = ConfigDict(type=_LOAD, channels=1, raw=True)
        if floats:  # exported models then take temperatures, not whole numbers
            steps[place].to_float32 = True
        tone = ConfigDict(type=_TONE, method='window', low=low, high=high)
        if channels != 3:
            tone.channels = channels
        steps.insert(place + 1, tone)
    elif facts.depth != '8-bit':  # of different depths: each image by its own values
        steps[place] = ConfigDict(type=_LOAD, channels=1, raw=True)
        channel = {} if channels == 3 else {'channels': channels}
        steps.insert(place + 1, ConfigDict(type=_TONE, method='percentile', **channel))
    else:
        steps[place] = ConfigDict(type=_LOAD) if channels == 3 else ConfigDict(type=_LOAD, channels=channels)
    for step in steps:
        if step.type == 'Resize' and 'scale' in step:
            step.scale = network_size(facts.size)
        if step.type == 'RandomCrop' and isinstance(step.get('crop_size'), list | tuple):
            # (a crop that is larger than the image would be padded in vain)
            step.crop_size = tuple(min(pair) for pair in zip(step.crop_size, facts.size, strict=True))
    return steps


def network_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height at which images enter the network: their own, unless a side is longer than 1344 pixels."""
    factor = min(1, _LONGEST / max(size))
    return tuple(max(32, round(side * factor)) for side in size)


def _set_classes(model: ConfigDict, number: int) -> None:
    if not sum(1 for _ in _changed(model, number)):
        raise ValueError('model: expected a base config with num_classes in its heads, got none')


def _changed(value: object, number: int) -> Iterator[None]:
    """Sets every ``num_classes`` in the model; heads may be in lists."""
    if isinstance(value, dict):
        if 'num_classes' in value:
            value['num_classes'] = number
            yield
        for child in value.values():
            yield from _changed(child, number)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _changed(child, number)


def _generators(value: object) -> Iterator[ConfigDict]:
    if isinstance(value, dict):
        if value.get('type') in ('AnchorGenerator', 'SSDAnchorGenerator', 'YOLACTAnchorGenerator'):
            yield value
        for child in value.values():
            yield from _generators(child)


def scaling(facts: DataFacts, pipeline: list[dict]) -> float:
    """Pixels of the network for each pixel of an image of the usual size."""
    resize = next((step for step in pipeline if step['type'] == 'Resize'), {})
    if 'scale' not in resize:
        return float(resize.get('scale_factor', 1.0))
    return min(wanted / side for wanted, side in zip(resize['scale'], facts.size, strict=True))


def _set_anchors(plan: Plan, facts: DataFacts) -> None:
    """Scales the anchors so that the smallest of them meets the small targets; the share below it is told."""
    sizes = facts.box_sizes * scaling(facts, innermost(plan.settings.train_dataloader.dataset).pipeline)
    small = float(np.percentile(sizes, _SMALL))
    generators = list(_generators(plan.settings.model))
    for generator in generators:
        strides = [min(stride) if isinstance(stride, list | tuple) else stride for stride in generator.strides]
        key = 'scales' if generator.get('scales') else 'octave_base_scale'
        scales = generator[key] if key == 'scales' else [generator[key]]
        smallest = min(scales) * min(strides)
        factor = small / smallest
        if not 1 / _FIT <= factor <= _FIT:
            changed = [_rounded(max(scale * factor, 1)) for scale in scales]
            generator[key] = changed if key == 'scales' else changed[0]
            smallest = min(changed) * min(strides)
        below = float((sizes < smallest / 2).mean())
        plan.notes.append(
            f'The smallest anchor has a side of {smallest:g} pixels; {below:.0%} of the targets have less than '
            f'half of it.'
        )
    if not generators:
        below = float((sizes < 8).mean())
        plan.notes.append(f'The model has no anchors; {below:.0%} of the targets are smaller than 8 pixels.')


def _rounded(value: float) -> float:
    """Two significant digits."""
    digits = 1 - math.floor(math.log10(value))
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded


def _set_limits(plan: Plan, facts: DataFacts) -> None:
    """Room for the most targets that an image has."""
    for part in _tests(plan.settings.model):
        limit = part.get('max_per_img')
        if limit and limit < facts.most_targets:
            part['max_per_img'] = math.ceil(facts.most_targets * 1.2 / 50) * 50
            plan.notes.append(
                f'An image has {facts.most_targets} targets, so that max_per_img is {part["max_per_img"]} here.'
            )


def _tests(model: ConfigDict) -> Iterator[ConfigDict]:
    test_cfg = model.get('test_cfg') or {}
    yield from (part for part in (test_cfg.get('rcnn'), test_cfg) if isinstance(part, dict))


def _set_batch(plan: Plan, batch_size: int) -> None:
    """The batch, and the learning rate after it: in proportion for SGD, by the square root for Adam's kind."""
    loader, optimizer = plan.settings.train_dataloader, plan.settings.optim_wrapper.optimizer
    factor = batch_size / loader.batch_size
    set_batch_size(plan.settings, batch_size)
    before = optimizer.lr
    optimizer.lr = float(f'{before * (factor if optimizer.type == "SGD" else factor**0.5):.3g}')
    plan.notes.append(f'The learning rate follows the batch: {before:g} became {optimizer.lr:g}.')


def _set_start(plan: Plan) -> None:
    start = plan.settings.get('load_from')
    if start and '://' not in start and start not in model_names() and not os.path.isfile(start):
        plan.settings.load_from = None
        plan.notes.append(
            f'The base starts from {start}, which is not there, so that training starts from random weights; '
            f'--load-from FILE names others.'
        )
