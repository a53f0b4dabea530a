"""What a config alone tells about a run that would fail, or mislead, after minutes: said before anything is built.

Each check yields sentences that name the place in the config, what stands there, what was expected, and the remedy.
"""

import inspect
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.logging import print_log

from ..config.lengths import counts_epochs
from ..config.types import type_name, typed_dicts
from ..datasets.wrappers import leaves, pipeline_steps, require_test_set, wrapped
from ..evaluation.rows import COLUMNS
from ..fileio import read_json
from .unread import unread_entries
from .unsaved import tell_unsaved_weights

# They move boxes and images, and leave the masks where they were; with what moves both.
MASKS_LEFT = {
    'Mosaic': 'CachedMosaic',
    'MixUp': 'CachedMixUp',
    'RandomShift': 'RandomCrop',
    'RandomAffine': 'RandomCrop',
}
# They take images of three channels only; with what does the like, or nearly so, to images of one.
COLOURS_ONLY = {
    **dict.fromkeys(('PhotoMetricDistortion', 'YOLOXHSVRandomAug', 'Color', 'Contrast'), 'RandomGainOffset'),
    **dict.fromkeys(('AutoContrast', 'Equalize'), 'ToneMapping'),
    'CachedMixUp': 'TargetCopyPaste',
    **dict.fromkeys(('CutOut', 'RandomErasing'), 'DeadPixels'),
    **dict.fromkeys(('Expand', 'MinIoURandomCrop'), 'RandomCrop'),
    **dict.fromkeys(('ShearX', 'ShearY', 'TranslateX', 'TranslateY'), 'RandomCrop'),
}
ENDLESS = ('InfiniteSampler', 'MultiSourceSampler', 'GroupMultiSourceSampler')  # samplers without an end
_MONITORS = {'EarlyStoppingHook': 'monitor'}


def check_before_training(cfg: Config) -> None:
    """Checks the training and the validation of a config.

    Raises:
        ValueError: For what cannot work; the message has a line for each fault.
    """
    checks = (
        unread_entries,
        _endless_samplers,
        _schedules,
        _weight_decay,
        _masks_left_behind,
        _colours_only,
        _channels,
        _scores_that_decide,
        _evaluators,
        _masks_to_score,
    )
    _run(cfg, checks, ('train', 'val'))
    tell_unsaved_weights(cfg)


def check_before_testing(cfg: Config) -> None:
    """Checks the test of a config.

    Raises:
        ValueError: For what cannot work; the message has a line for each fault.
    """
    require_test_set(cfg)
    _run(cfg, (unread_entries, _endless_samplers, _channels, _evaluators, _masks_to_score), ('test',))


def _run(cfg: Config, checks: tuple[Callable[[Config, tuple[str, ...]], Iterator[str]], ...], splits: tuple) -> None:
    faults = list(dict.fromkeys(itertools.chain.from_iterable(check(cfg, splits) for check in checks)))
    if faults:
        raise ValueError(f'{cfg.filename or "config"}: ' + '\n'.join(faults))
    _tell_sets_without_targets(cfg, splits)


def _data_set(cfg: Config, split: str) -> Mapping | None:
    return (cfg.get(f'{split}_dataloader') or {}).get('dataset')


def _evaluator_entries(cfg: Config, split: str) -> list[tuple[str, Mapping]]:
    found = cfg.get(f'{split}_evaluator')
    if isinstance(found, list | tuple):
        return [(f'{split}_evaluator[{number}]', entry) for number, entry in enumerate(found)]
    return [(f'{split}_evaluator', found)] if isinstance(found, Mapping) else []


def _schedules(cfg: Config, splits: tuple[str, ...]) -> Iterator[str]:
    """Schedules that begin where they end or later, which is what a shorter training leaves of those at its end."""
    schedules = cfg.get('param_scheduler') or []
    groups = {'': schedules}  # (a model with several optimisers has a list for each)
    if isinstance(schedules, Mapping) and 'type' not in schedules:
        groups = {f'.{name}': group for name, group in schedules.items()}
    remedy = 'begin it earlier'
    if counts_epochs(cfg):
        remedy = 'for another length of the training take --epochs, which stretches all schedules'
    for name, group in groups.items():
        for number, schedule in enumerate([group] if isinstance(group, Mapping) else group):
            begin, end = schedule.get('begin', 0), schedule.get('end')
            if isinstance(begin, int) and isinstance(end, int) and begin >= end:
                yield (
                    f'param_scheduler{name}[{number}] ({type_name(schedule)}): expected it to begin before its end, '
                    f'{end}, got begin={begin}; {remedy}'
                )


def _endless_samplers(cfg: Config, splits: tuple[str, ...]) -> Iterator[str]:
    """Samplers that never come to an end, where an epoch or a test has to."""
    loop = cfg.get('train_cfg') or {}
    by_epoch = type_name(loop) == 'EpochBasedTrainLoop' or loop.get('by_epoch')
    for split in splits:
        name = type_name((cfg.get(f'{split}_dataloader') or {}).get('sampler'))
        if name in ENDLESS and (split != 'train' or by_epoch):
            other = ", or train by iterations (train_cfg.type='IterBasedTrainLoop')" if split == 'train' else ''
            yield (
                f'{split}_dataloader.sampler: expected a sampler that ends, got {name}, with which the first '
                f"{'epoch' if split == 'train' else 'test'} would never end; set its type to 'DefaultSampler'{other}"
            )


def _weight_decay(cfg: Config, splits: tuple[str, ...]) -> Iterator[str]:
    """Factors of a weight decay that the optimiser does not name, as where another one took its place."""
    wrapper = cfg.get('optim_wrapper') or {}
    factors = wrapper.get('paramwise_cfg') or {}
    asked = [key for key in ('bias_decay_mult', 'norm_decay_mult', 'dwconv_decay_mult') if key in factors]
    asked += [
        f'custom_keys[{key!r}].decay_mult'
        for key, value in (factors.get('custom_keys') or {}).items()
        if 'decay_mult' in value
    ]
    optimizer = wrapper.get('optimizer')
    if asked and isinstance(optimizer, Mapping) and optimizer.get('weight_decay') is None:
        yield (
            f'optim_wrapper.optimizer.weight_decay: expected a number, of which optim_wrapper.paramwise_cfg.'
            f'{asked[0]} is a factor, got none; set it (0 for no decay), or set optim_wrapper.paramwise_cfg=None'
        )


def _masks_left_behind(cfg: Config, splits: tuple[str, ...]) -> Iterator[str]:
    for place, steps in _all_pipelines(cfg, splits):
        if not any(type_name(step) == 'LoadAnnotations' and step.get('with_mask') for step in typed_dicts(steps)):
            continue
        for name in dict.fromkeys(type_name(step) for step in typed_dicts(steps)):
            if name in MASKS_LEFT:
                yield (
                    f'{place}: {name} moves images and boxes, and leaves the masks where they were; expected a '
                    f'transform that moves masks: take {MASKS_LEFT[name]}'
                )


def _colours_only(cfg: Config, splits: tuple[str, ...]) -> Iterator[str]:
    """Transforms for images of three channels, behind a loader of one."""
    for place, steps in _all_pipelines(cfg, splits):
        for name in dict.fromkeys(type_name(step) for step in typed_dicts(steps)) if _of_pipeline(steps) == 1 else ():
            if name in COLOURS_ONLY:
                yield (
                    f'{place}: {name} takes images of three channels, and the loader gives one; take '
                    f'{COLOURS_ONLY[name]} in its place, or load three (channels=3, and three in the model)'
                )


def _all_pipelines(cfg: Config, splits: tuple[str, ...]) -> Iterator[tuple[str, list]]:
    for split in splits:
        dataset = _data_set(cfg, split)
        if dataset is not None:
            yield from _pipelines(dataset, f'{split}_dataloader.dataset')


def _pipelines(dataset: Mapping, place: str) -> Iterator[tuple[str, list]]:
    """All steps on the way from each leaf to the outermost wrapper."""
    inner = wrapped(dataset)
    own = list(dataset.get('pipeline') or ())
    if not inner:
        yield f'{place}.pipeline', own
    for number, part in enumerate(inner):
        key = 'dataset' if 'dataset' in dataset else f'datasets[{number}]'
        for found, steps in _pipelines(part, f'{place}.{key}'):
            yield (f'{place}.pipeline' if own else found), [*steps, *own]


def _channels(cfg: Config, splits: tuple[str, ...]) -> Iterator[str]:
    """The loader, the statistics of the data preprocessor and the first layer have to agree on 1 or 3 channels."""
    model = cfg.get('model') or {}
    model = model.get('module') or model  # within test-time augmentation
    counts: dict[str, int] = {}
    for split in splits:
        dataset = _data_set(cfg, split)
        if dataset is None:
            continue
        for leaf in leaves(dataset):
            channels = _of_pipeline(pipeline_steps(leaf))
            if channels is not None:
                counts[f'{split}_dataloader (LoadIRImageFromFile or ToneMapping, channels)'] = channels
    preprocessor = model.get('data_preprocessor') or {}
    if isinstance(preprocessor.get('mean'), list | tuple):
        counts['model.data_preprocessor (mean and std)'] = len(preprocessor['mean'])
    backbone = model.get('backbone') or {}
    channels = _of_backbone(backbone)
    if channels is not None:
        counts['model.backbone (in_channels)'] = channels
    # (statistics of one channel serve images of three)
    wrong = {place: number for place, number in counts.items() if not (number == 1 and 'mean and std' in place)}
    if len(set(wrong.values())) > 1 or (1 in wrong.values() and len(set(counts.values())) > 1):
        told = ', '.join(f'{place}: {number}' for place, number in counts.items())
        yield (
            f'expected one number of channels in the loader of every data set, in the statistics and in the backbone, '
            f'got {told}; for one channel set channels=1 in the last of LoadIRImageFromFile and ToneMapping, '
            f'model.data_preprocessor = dict(mean=[m], std=[s], bgr_to_rgb=False) and model.backbone.in_channels=1'
        )
    elif set(counts.values()) == {1} and preprocessor.get('bgr_to_rgb'):
        yield 'model.data_preprocessor.bgr_to_rgb: expected False for images of one channel, got True'


def _of_pipeline(steps: list) -> int | None:
    channels = None
    for step in steps:
        name = type_name(step)
        if name in ('LoadIRImageFromFile', 'ToneMapping'):
            channels = step.get('channels', 3)
        elif name == 'LoadImageFromFile':
            channels = {'color': 3, 'grayscale': 1}.get(step.get('color_type', 'color'))
    return channels


def _of_backbone(backbone: Mapping) -> int | None:
    if type_name(backbone) == 'GreyStemResNet':
        return 1
    if 'in_channels' in backbone:
        return backbone['in_channels'] if isinstance(backbone['in_channels'], int) else None
    kind = backbone.get('type')
    kind = MODELS.get(type_name(backbone)) if isinstance(kind, str) else kind
    for base in getattr(kind, '__mro__', ()):
        default = inspect.signature(base.__init__).parameters.get('in_channels') if base is not object else None
        if default is not None:
            return default.default if isinstance(default.default, int) else None
    return None


def _metric_names(cfg: Config) -> list[str] | None:
    """Names of the scores that a validation gives; ``None`` where one of the evaluators is not known here."""
    names: list[str] = []
    for _, evaluator in _evaluator_entries(cfg, 'val'):
        kind = type_name(evaluator)
        if kind not in ('IRCocoMetric', 'CocoMetric') or evaluator.get('extra') or evaluator.get('metric_items'):
            return None
        metrics = evaluator.get('metric', ['bbox', 'segm'] if kind == 'IRCocoMetric' else 'bbox')
        metrics = [metrics] if isinstance(metrics, str) else list(metrics)
        prefix = evaluator.get('prefix') or 'coco'
        classes = _classes(cfg)
        for metric in metrics:
            if metric not in ('bbox', 'segm'):
                return None
            keys = [key for key in COLUMNS.values() if key != 'Recall' or kind == 'IRCocoMetric']
            names += [f'{prefix}/{metric}_{key}' for key in keys]
            names += [f'{prefix}/{metric}_mAP/{name}' for name in classes]
    return names or None


def _classes(cfg: Config) -> list[str]:
    dataset = _data_set(cfg, 'val')
    if dataset is None:
        return []
    leaf = leaves(dataset)[0]
    classes = (leaf.get('metainfo') or {}).get('classes')
    if classes is None:
        from ..datasets.coco_files import CLASSES as classes
    return [classes] if isinstance(classes, str) else list(classes)


def _scores_that_decide(cfg: Config, splits: tuple[str, ...]) -> Iterator[str]:
    """The best checkpoint, early stops and schedules follow a score: it has to be among the scores."""
    if not cfg.get('val_cfg') or not cfg.get('val_dataloader'):
        return
    names = _metric_names(cfg)
    if names is None:
        return
    saving = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    asked = [('default_hooks.checkpoint.save_best', saving.get('save_best'))]
    rules = [('default_hooks.checkpoint.rule', saving.get('rule') if saving.get('save_best') else None)]
    for number, hook in enumerate(cfg.get('custom_hooks') or ()):
        if type_name(hook) in _MONITORS:
            key = _MONITORS[type_name(hook)]
            asked.append((f'custom_hooks[{number}].{key}', hook.get(key)))
            rules.append((f'custom_hooks[{number}].rule', hook.get('rule')))
    schedulers = cfg.get('param_scheduler') or ()
    for number, scheduler in enumerate([schedulers] if isinstance(schedulers, Mapping) else schedulers):
        if isinstance(scheduler, Mapping) and 'ReduceOnPlateau' in type_name(scheduler):
            asked.append((f'param_scheduler[{number}].monitor', scheduler.get('monitor')))
            rules.append((f'param_scheduler[{number}].rule', scheduler.get('rule', 'less')))
    for place, rule in rules:
        for one in [rule] if isinstance(rule, str) else rule or ():
            if one == 'less':
                yield f"{place}: expected 'greater', as every score rises where a model is better, got 'less'"
    for place, value in asked:
        for score in [value] if isinstance(value, str) else value or ():
            if score not in ('auto', *names):
                near = [name for name in names if name.rsplit('/', 1)[-1] == str(score).rsplit('/', 1)[-1]] or names
                whole = ', '.join(name for name in names if '_mAP/' not in name)
                yield f'{place}: expected a score of the validation ({whole}), got {score!r}; take {near[0]!r}'


def _evaluators(cfg: Config, splits: tuple[str, ...]) -> Iterator[str]:
    """An evaluator scores against its own annotation file: it has to hold the images of the data set."""
    for split in splits:
        dataset = _data_set(cfg, split)
        if split == 'train' or dataset is None or not cfg.get(f'{split}_cfg', True):
            continue
        files = [
            Path(part.get('data_root') or '', part['ann_file']) for part in leaves(dataset) if part.get('ann_file')
        ]
        for place, evaluator in _evaluator_entries(cfg, split):
            own = evaluator.get('ann_file')
            if own is None or evaluator.get('format_only') or not files:
                continue
            if len(files) == 1 and Path(own).resolve() == files[0].resolve():
                continue
            if not Path(own).is_file():
                yield f'{place}.ann_file: expected an annotation file, got {own!r}, which does not exist'
                continue
            known = _images(own)
            for file in files:
                lost = [name for name in _images(file) if name not in known] if file.is_file() else []
                if lost:
                    yield (
                        f'{place}.ann_file is {own}, {split}_dataloader reads {file}: expected the same images, got '
                        f'{len(lost)} that the evaluator does not know, such as {lost[0][1]!r} (id {lost[0][0]!r}); '
                        f'set {place}.ann_file to the annotation file of the data set'
                    )


def _masks_to_score(cfg: Config, splits: tuple[str, ...]) -> Iterator[str]:
    """A detector of boxes alone has no masks to score."""
    model = cfg.get('model') or {}
    model = model.get('module') or model  # within test-time augmentation
    if not _boxes_only(model):
        return
    for split in splits:
        if not cfg.get(f'{split}_dataloader'):
            continue
        for place, evaluator in _evaluator_entries(cfg, split):
            metric = evaluator.get('metric', ['bbox', 'segm'] if type_name(evaluator) == 'IRCocoMetric' else 'bbox')
            if type_name(evaluator) in ('IRCocoMetric', 'CocoMetric') and 'segm' in metric:
                yield (
                    f"{place}.metric: expected 'bbox', as model ({type_name(model)}) has no mask head, got "
                    f"{metric!r}; set {place}.metric='bbox', or take a model that predicts masks"
                )


def _boxes_only(model: Mapping) -> bool:
    """Whether MMDetection's detector of this config surely predicts no masks."""
    name = model.get('type')
    kind = name if inspect.isclass(name) else MODELS.get(name) if name else None
    if kind is None or not kind.__module__.startswith('mmdet.'):
        return False
    if issubclass(kind, TwoStageDetector):
        return not (model.get('roi_head') or {}).get('mask_head')
    parts = [key for key in model if 'mask' in key] + [type_name(part) for part in typed_dicts(model)]
    return issubclass(kind, SingleStageDetector) and not any('Ins' in part or 'mask' in part.lower() for part in parts)


def _images(file: str | Path) -> dict[tuple, None]:
    images = read_json(file).get('images')
    rows = [row for row in images if isinstance(row, dict)] if isinstance(images, list) else []
    return {(str(row.get('id')), str(row.get('file_name'))): None for row in rows}


def _tell_sets_without_targets(cfg: Config, splits: tuple[str, ...]) -> None:
    """No fault: such a set has no scores."""
    for split in splits:
        for place, evaluator in _evaluator_entries(cfg, split):
            file = Path(evaluator.get('ann_file') or '')
            if not file.is_file() or evaluator.get('format_only') or not cfg.get(f'{split}_dataloader'):
                continue
            content = read_json(file)
            if isinstance(content, dict) and content.get('annotations') == []:
                print_log(
                    f'{place}.ann_file: {file} has no targets: every score will be NaN, so no checkpoint is the '
                    f'best one, and an EarlyStoppingHook ends the training at once unless its check_finite is False; '
                    f'to write detections only, set {place}.format_only=True and outfile_prefix',
                    'current',
                    logging.WARNING,
                )
