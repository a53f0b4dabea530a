"""Writes a config of a few lines that inherits from one of ours."""

import os
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ...fileio import write_text
from .changes import Plan, adapt, innermost
from .facts import DataFacts, collect_facts
from .text import Code, difference, render

_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_EVALUATORS = ('val_evaluator', 'test_evaluator')


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
    batch_size: int | None = None,
    epochs: int | None = None,
    load_from: str | None = None,
    overwrite: bool = False,
) -> NewConfig:
    """Measures a data set and writes a config for it that inherits from another.

    Args:
        data: Folder of a data set of this project's layout (``tools/data/convert.py`` writes it).
        out: The config to write, ``.py``.
        like: The config to inherit from.
        images: Folder of the images, relative to ``data``.
        splits: Annotation files for training and validation, relative to ``data``.
        batch_size: Images of a training step; the learning rate follows.
        epochs: Length of the training, for bases that count epochs.
        load_from: Weights to start from.
        overwrite: Whether to replace a config that is there.

    Raises:
        FileNotFoundError: If the base, an annotation file or an image is missing.
        FileExistsError: If ``out`` is there and ``overwrite`` is not set.
        ValueError: If the data set is unsound, or the base is none for instance segmentation.
    """
    data, out, like = Path(data), Path(out), Path(like)
    if out.suffix != '.py':
        raise ValueError(f'expected the name of a config, which ends with .py, got {out}')
    if out.exists() and not overwrite:
        raise FileExistsError(f'{out} is there already; choose another name, or pass --overwrite to replace it')
    if not like.is_file():
        raise FileNotFoundError(f'config not found: expected a file, got {str(like)!r}')
    for split in splits:
        if not (data / split).is_file():
            raise FileNotFoundError(
                f'annotation file not found: {data / split}; a data set in two parts comes from tools/data/split.py'
            )
    facts = collect_facts(data / splits[0], data / images)
    other = collect_facts(data / splits[1], data / images)
    if other.classes != facts.classes:
        raise ValueError(f'{data / splits[1]}: expected the classes {facts.classes} of training, got {other.classes}')
    base = Config.fromfile(like)._cfg_dict
    root = f'{data.as_posix().rstrip("/")}/'
    plan = adapt(base, facts, root, splits, f'{Path(images).as_posix().rstrip("/")}/', batch_size)
    if epochs:
        _set_epochs(plan, epochs)
    if load_from:
        plan.settings.load_from = load_from
        plan.notes = [note for note in plan.notes if 'random weights' not in note]
    write_text(out, config_text(base, plan, _base_path(like, out), data, facts))
    _compare(out, plan)
    return NewConfig(out, facts, plan.notes)


def _set_epochs(plan: Plan, epochs: int) -> None:
    train_cfg = plan.settings.train_cfg
    if 'max_epochs' not in train_cfg:
        raise ValueError(
            f'--epochs: expected a base that counts epochs, got one of {train_cfg.get("max_iters")} steps'
        )
    before, train_cfg.max_epochs = train_cfg.max_epochs, epochs
    train_cfg.val_interval = max(1, min(train_cfg.get('val_interval', 1), epochs))
    for scheduler in plan.settings.param_scheduler:
        for key in ('T_max', 'end'):
            if scheduler.get('by_epoch') and scheduler.get(key) == before:
                scheduler[key] = epochs
        if 'milestones' in scheduler and scheduler.get('by_epoch'):
            scheduler.milestones = [max(1, round(step * epochs / before)) for step in scheduler.milestones]


def _base_path(like: Path, out: Path) -> str:
    """The base as the new config should name it: relative, so that the folder of both can move."""
    return Path(os.path.relpath(like.resolve(), out.resolve().parent)).as_posix()


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
    for name in shared:
        changed.pop(name, None)
    targets = f'{facts.targets} targets of {len(facts.classes)} classes in {facts.images} images'
    lines = [f'"""{data.name}: {targets}.', '', *plan.notes, '"""', '', f'_base_ = {base_path!r}', '']
    lines += [f'{name} = {render(value, column=len(name) + 3)}' for name, value in {**shared, **changed}.items()]
    return '\n'.join(lines) + '\n'


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


def _compare(out: Path, plan: Plan) -> None:
    """Reads the new config and compares what it merges to with what was meant."""
    written = Config.fromfile(out)._cfg_dict
    for key in (*_LOADERS, *_EVALUATORS, 'model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'load_from'):
        if written.get(key) != plan.settings.get(key):
            raise RuntimeError(f'{out}: {key} does not merge to what was meant')
