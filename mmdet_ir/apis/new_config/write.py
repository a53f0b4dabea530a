"""Writes a config of a few lines that inherits from one of ours."""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ...config.lengths import counts_epochs, set_epochs, set_iterations, stretch_schedules
from ...config.options import read_config
from ...datasets.wrappers import dataset_for_testing
from ...fileio import write_text
from ...model_zoo import config_file, model_names
from .changes import Plan, adapt, innermost
from .facts import DataFacts, collect_facts
from .text import Code, difference, render

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_EVALUATORS = ('val_evaluator', 'test_evaluator')
_ORDER = (*_LOADERS, *_EVALUATORS, 'model', 'optim_wrapper', 'train_cfg', 'param_scheduler')


@dataclass(frozen=True)
class NewConfig:
    """A config that was written.

    Attributes:
        path: The file.
        facts: What was measured.
        notes: Sentences that a person should read before training.
    """

    path: Path
    facts: DataFacts
    notes: list[str]


def new_config(
    data: str | os.PathLike,
    out: str | os.PathLike,
    like: str | os.PathLike,
    *,
    images: str | os.PathLike = 'images',
    splits: tuple[str, str] = ('annotations/train.json', 'annotations/val.json'),
    batch_size: int | str | None = None,
    epochs: int | None = None,
    load_from: str | None = None,
    overwrite: bool = False,
) -> NewConfig:
    """Measures a data set and writes a config for it that inherits from another.

    Args:
        data: Folder of a data set of this project's layout (``tools/data/convert.py`` writes it).
        out: The config to write, ``.py``.
        like: The config to inherit from: a file, ``mmdet_ir::...``, or the name of a model of the package, from whose
            weights the training then starts.
        images: Folder of the images, relative to ``data``.
        splits: Annotation files for training and validation, relative to ``data``.
        batch_size: Images of a training step; the learning rate follows. ``'auto'``: the largest that the GPU of this
            machine holds.
        epochs: Length of the training; for bases that count iterations, as many as these epochs have.
        load_from: Weights to start from: a file, or the name of a model of the package.
        overwrite: Whether to replace a config that is there.

    Raises:
        FileNotFoundError: If the base, an annotation file or an image is missing.
        FileExistsError: If ``out`` is there and ``overwrite`` is not set.
        ValueError: If the data set is unsound, or the base is none for instance segmentation.
    """
    data, out = Path(data), Path(out)
    if out.suffix != '.py':
        raise ValueError(f'expected the name of a config, which ends with .py, got {out}')
    if out.exists() and not overwrite:
        raise FileExistsError(f'{out} is there already; choose another name, or pass --overwrite to replace it')
    base_file, base_path = find_base(str(like), out)
    for split in splits:
        if not (data / split).is_file():
            raise FileNotFoundError(
                f'annotation file not found: {data / split}; a data set in two parts comes from tools/data/split.py'
            )
    facts = collect_facts(data / splits[0], data / images)
    other = collect_facts(data / splits[1], data / images)
    if other.classes != facts.classes:
        raise ValueError(
            f'{data / splits[1]}: expected the classes {facts.classes} of training in this order, got {other.classes}'
        )
    if other.depth != facts.depth:
        depth = f'{facts.depth} for training, {other.depth} for validation'
        facts = replace(facts, depth=depth, window=None)
    if Config._is_lazy_import(str(base_file)):
        raise ValueError(
            f'{base_file}: expected a config in text style (_base_ = ...) to inherit from, got pure Python '
            f'(read_base()); a run keeps its config in text style, beside its log as vis_data/config.py, to name here'
        )
    base = read_config(str(base_file))._cfg_dict
    root = f'{data.as_posix().rstrip("/")}/'
    plan = adapt(base, facts, root, splits, f'{Path(images).as_posix().rstrip("/")}/', batch_size)
    if epochs is not None:
        _set_length(plan, facts, epochs)
    _shorten_warm_up(plan, facts)
    test = Path(splits[1]).with_name('test.json').as_posix()
    if test not in splits and (data / test).is_file():
        plan.notes.append(
            f'{test} is not used: tools/test.py scores on {splits[1]}, unless it is called with --cfg-options '
            f'test_dataloader.dataset.ann_file={test} test_evaluator.ann_file={root}{test}'
        )
    if load_from is None and str(like) in model_names():
        load_from = str(like)
    if load_from == 'none':
        raise ValueError(
            '--load-from: expected a file or the name of a model, got none; a training starts from random weights '
            'with tools/train.py --load-from none'
        )
    if load_from:
        _set_weights(plan, load_from, facts)
    _write_compared(out, config_text(base, plan, base_path, data, facts), plan)
    return NewConfig(out, facts, plan.notes)


def find_base(like: str, out: Path) -> tuple[str, str]:
    """The file of a base config, and how a new config should name it.

    Args:
        like: A file, ``mmdet_ir::...`` or ``mmdet::...``, or the name of a model of the package.
        out: The new config.

    Raises:
        FileNotFoundError: If there is no such config.
    """
    path = Path(config_file(like))
    if '::' not in like and not path.is_file() and path.parts[:1] == ('configs',):  # outside of a clone
        like = f'mmdet_ir::{Path(*path.parts[1:]).as_posix()}'
    if '::' in like:
        try:
            return Config._get_cfg_path(like, str(out))[0], like
        except (FileNotFoundError, ImportError) as error:
            raise FileNotFoundError(f'config not found: expected one of the package, got {like!r}') from error
    if not path.is_file():
        names = ', '.join(model_names())
        raise FileNotFoundError(
            f'config not found: expected a file, or the name of a model of the package ({names}), got {like!r}'
        )
    # relative, so that the folder of both can move
    return str(path), Path(os.path.relpath(path.resolve(), out.resolve().parent)).as_posix()


def _steps(plan: Plan, facts: DataFacts) -> int:
    """Training steps of an epoch, for one process."""
    return math.ceil(facts.images / plan.settings.train_dataloader.batch_size)


def _set_length(plan: Plan, facts: DataFacts, epochs: int) -> None:
    if counts_epochs(plan.settings):
        set_epochs(plan.settings, epochs)
        return
    steps = epochs * _steps(plan, facts)
    set_iterations(plan.settings, steps)
    plan.notes.append(f'The base counts iterations: {epochs} epochs are {steps} of them.')


def _shorten_warm_up(plan: Plan, facts: DataFacts) -> None:
    """Takes a warm-up that would fill more than a fifth of the training down to a tenth; tests once, at least."""
    settings = plan.settings
    train_cfg = settings.train_cfg
    epochs = counts_epochs(settings)
    steps = train_cfg.max_epochs * _steps(plan, facts) if epochs else train_cfg.max_iters
    longest = max((s.get('end', 0) for s in settings.param_scheduler if _is_warm_up(s)), default=0)
    if longest > steps / 5:
        warm_up = [scheduler for scheduler in settings.param_scheduler if _is_warm_up(scheduler)]
        stretch_schedules({'param_scheduler': warm_up}, 1.0, steps / 10 / longest)
        plan.notes.append(f'The training has {steps} steps, so that the warm-up takes {round(steps / 10)} of them.')
    length = train_cfg.max_epochs if epochs else steps
    if train_cfg.get('val_interval', 1) > length:
        train_cfg.val_interval = length


def _is_warm_up(scheduler: ConfigDict) -> bool:
    """Whether a schedule raises the rate over the first steps; ``LinearLR`` may also lower it at the end."""
    if scheduler.get('by_epoch', True) or scheduler.get('begin', 0):
        return False
    rises = scheduler.get('start_factor', 1 / 3) < scheduler.get('end_factor', 1.0)
    return scheduler.get('type') == 'QuadraticWarmupLR' or (scheduler.get('type') == 'LinearLR' and rises)


def _set_weights(plan: Plan, load_from: str, facts: DataFacts) -> None:
    plan.settings.load_from = load_from
    plan.notes = [note for note in plan.notes if 'random weights' not in note]
    trained = known_classes(load_from)
    if trained is not None and trained != facts.classes:
        plan.notes.append(
            f'{load_from} knows the classes {", ".join(trained)}; the layers for the {len(facts.classes)} classes '
            f'of this data set start '
            + ('as they are.' if len(trained) == len(facts.classes) else 'from random values.')
        )


def known_classes(model: str) -> tuple[str, ...] | None:
    """Classes of a model of the package; ``None`` for other weights."""
    if model not in model_names() or os.path.isfile(model):
        return None
    from ...datasets.coco_files import CLASSES

    dataset = innermost(dataset_for_testing(Config.fromfile(config_file(model))))
    return tuple((dataset.get('metainfo') or {}).get('classes', CLASSES))


def config_text(base: ConfigDict, plan: Plan, base_path: str, data: Path, facts: DataFacts) -> str:
    """Text of the new config: what differs from the base, and a variable for all that stands in several places."""
    changed = difference(base, plan.settings)
    shared: dict[str, object] = {'classes': facts.classes}
    train = innermost(plan.settings.train_dataloader.dataset)
    shared['data_root'] = train.data_root
    shared['metainfo'] = {'classes': Code('classes'), 'palette': train.metainfo.palette}
    for name, variable in zip(_LOADERS, ('train_pipeline', 'test_pipeline', 'test_pipeline'), strict=True):
        if name not in changed:
            continue
        dataset = innermost(changed[name]['dataset'])
        dataset['data_root'] = Code('data_root')
        dataset['metainfo'] = Code('metainfo')
        if 'pipeline' in dataset:
            shared |= _variables(dataset['pipeline'])
            shared[variable] = [_with_variables(step) for step in dataset['pipeline']]
            dataset['pipeline'] = Code(variable)
    for name in _EVALUATORS:
        if name in changed:
            rest = plan.settings[name].ann_file.removeprefix(train.data_root)
            changed[name]['ann_file'] = Code(f'data_root + {rest!r}')
    for later, earlier in (('test_dataloader', 'val_dataloader'), ('test_evaluator', 'val_evaluator')):
        if later in changed and changed[later] == changed.get(earlier):
            changed[later] = Code(earlier)
    shared |= _training_variables(changed, plan.settings)
    for name in shared:
        changed.pop(name, None)
    changed = {name: changed[name] for name in sorted(changed, key=_place)}
    targets = f'{facts.targets} targets of {len(facts.classes)} classes in {facts.images} images'
    lines = [f'"""{data.name}: {targets}.', '', *plan.notes, '"""', '', f'_base_ = {base_path!r}', '']
    lines += [f'{name} = {render(value, column=len(name) + 3)}' for name, value in {**shared, **changed}.items()]
    return '\n'.join(lines) + '\n'


def _place(name: str) -> int:
    """Where a setting stands: what others refer to comes first."""
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _training_variables(changed: dict, settings: ConfigDict) -> dict[str, object]:
    """Batch and length as variables, which the loader, the loop and the schedules use."""
    length = 'max_epochs' if counts_epochs(settings) else 'max_iters'
    number = settings.train_cfg[length]
    changed['train_dataloader']['batch_size'] = Code('batch_size')
    train_cfg = changed.setdefault('train_cfg', {})
    train_cfg[length] = Code(length)
    if settings.train_cfg.get('val_interval') == number:
        train_cfg['val_interval'] = Code(length)
    changed['param_scheduler'] = [
        {key: Code(length) if key in ('T_max', 'end') and value == number else value for key, value in entry.items()}
        for entry in settings.param_scheduler
    ]
    return {'batch_size': settings.train_dataloader.batch_size, length: number}


_SHARED_STEPS = {'LoadIRImageFromFile': 'load', 'ToneMapping': 'tone_mapping'}


def _variables(pipeline: list[dict]) -> dict[str, object]:
    """Settings that all pipelines share, under the names of their variables."""
    found = {_SHARED_STEPS[step['type']]: step for step in pipeline if step['type'] in _SHARED_STEPS}
    sizes = [step['scale'] for step in pipeline if step['type'] == 'Resize' and 'scale' in step]
    return found | ({'image_size': sizes[0]} if sizes else {})


def _with_variables(step: dict) -> dict | Code:
    if step['type'] in _SHARED_STEPS:
        return Code(_SHARED_STEPS[step['type']])
    return {**step, 'scale': Code('image_size')} if step['type'] == 'Resize' and 'scale' in step else step


def _write_compared(out: Path, text: str, plan: Plan) -> None:
    """Writes the new config once what it merges to is what was meant; it is read where it will stand."""
    trial = out.with_name(f'.{out.stem}.unfinished.py')
    write_text(trial, text)
    try:
        _compare(trial, plan)
    finally:
        trial.unlink()
    write_text(out, text)


def _compare(out: Path, plan: Plan) -> None:
    """Reads a config and compares what it merges to with what was meant."""
    written = Config.fromfile(out)._cfg_dict
    for key in (*_LOADERS, *_EVALUATORS, 'model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'load_from'):
        if written.get(key) != plan.settings.get(key):
            raise RuntimeError(f'{out}: {key} does not merge to what was meant')
