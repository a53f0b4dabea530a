"""Entries of a config that nothing reads, as far as can be told: mostly names that are misspelt.

A dict with a ``type`` names a class, whose arguments are checked when it is made. Others are looked up key by key, and
a key that nothing asks for changes nothing, without a word.
"""

import difflib
from collections.abc import Collection, Iterator, Mapping

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config

from ..config.signatures import PLACES, keys_of
from ..config.types import type_name, typed_dicts
from ..datasets.ir_dataset import IRDataset
from ..datasets.wrappers import leaves

_PACKAGES = ('mmdet', 'mmdet_ir', 'mmengine', 'mmcv', 'torch')  # what reads a dict is known of these only
_FILTERS = frozenset({'filter_empty_gt', 'min_size'})
_FOLDERS = frozenset({'img', 'seg'})
_FACTORS = frozenset({'lr_mult', 'decay_mult'})
_PARAMWISE = frozenset(
    {
        *('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'dwconv_decay_mult'),
        *('flat_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate'),
    }
)


def unread_entries(cfg: Config, splits: tuple[str, ...]) -> Iterator[str]:
    """Sentences about entries that nothing reads, with what was probably meant.

    Args:
        cfg: A config.
        splits: Of ``train``, ``val`` and ``test``, those whose data sets are looked at.
    """
    for place, known in PLACES.items():
        yield from _foreign(place, _at(cfg, place), known)
    for split in splits:
        dataset = _at(cfg, f'{split}_dataloader.dataset')
        for leaf in leaves(dataset) if dataset else ():
            kind, place = _known_class(DATASETS, leaf) or object, f'{split}_dataloader.dataset'
            if issubclass(kind, CocoDataset):
                yield from _foreign(f'filter_cfg of {place}', leaf.get('filter_cfg'), _FILTERS)
            if issubclass(kind, IRDataset):
                yield from _foreign(f'data_prefix of {place}', leaf.get('data_prefix'), _FOLDERS)
        if dataset:
            yield from _labels_of_no_class(f'{split}_dataloader.dataset', dataset, dataset)
            if split == 'train':
                yield from _labels_of_no_class('custom_hooks', dataset, cfg.get('custom_hooks') or [])
    if 'train' in splits:
        yield from _of_the_optimiser(cfg.get('optim_wrapper') or {})
        yield from _of_hooks(cfg)
    if all(_known_class(MODELS, part) for part in typed_dicts(cfg.get('model')) if type_name(part) in MODELS):
        for place in ('model.test_cfg', *(['model.train_cfg'] if 'train' in splits else [])):
            yield from _misspelt(place, _at(cfg, place))


def _labels_of_no_class(place: str, dataset: Mapping, steps: Mapping | list) -> Iterator[str]:
    """Labels that a transform is to act on, of which the data set has no class: it would act on nothing."""
    leaf = leaves(dataset)[0]
    kind = _known_class(DATASETS, leaf)
    classes = (leaf.get('metainfo') or {}).get('classes') or getattr(kind, 'METAINFO', {}).get('classes') or ()
    number = 0 if isinstance(classes, str) else len(classes)  # (a text may name a file of classes)
    for step in typed_dicts(steps) if number else ():
        if type_name(step) == 'RandomTargetContrast' and any(label >= number for label in step.get('labels') or ()):
            labels = list(step['labels'])
            yield f'{place}: RandomTargetContrast: expected labels below {number}, the number of classes, got {labels}'


def _of_the_optimiser(wrapper: Mapping) -> Iterator[str]:
    factors = wrapper.get('paramwise_cfg') or {}
    if type_name(wrapper.get('constructor', 'DefaultOptimWrapperConstructor')) == 'DefaultOptimWrapperConstructor':
        yield from _foreign('optim_wrapper.paramwise_cfg', factors, _PARAMWISE)
        for name, entry in (factors.get('custom_keys') or {}).items():
            yield from _foreign(f'optim_wrapper.paramwise_cfg.custom_keys[{name!r}]', entry, _FACTORS)


def _of_hooks(cfg: Config) -> Iterator[str]:
    """``CheckpointHook`` hands what it does not know to the saving, which takes nothing more: after an epoch."""
    hooks = cfg.get('default_hooks') or {}
    yield from _similar('default_hooks', hooks)
    places = [(f'default_hooks.{name}', hook) for name, hook in hooks.items()]
    places += [(f'custom_hooks[{number}]', hook) for number, hook in enumerate(cfg.get('custom_hooks') or ())]
    for place, hook in places:
        if type_name(hook) == 'CheckpointHook':
            yield from _foreign(place, hook, keys_of(['default_hooks'], hook)[0] | {'type', '_scope_'})


def _known_class(registry: object, entry: Mapping) -> type | None:
    kind = entry.get('type')
    kind = registry.get(kind) if isinstance(kind, str) else kind
    return kind if isinstance(kind, type) and kind.__module__.split('.')[0] in _PACKAGES else None


def _at(cfg: Config, place: str) -> object:
    value = cfg
    for key in place.split('.'):
        value = (value.get(key) if isinstance(value, Mapping | Config) else None) or {}
    return value


def _foreign(place: str, entry: object, known: Collection[str]) -> Iterator[str]:
    for name in entry if isinstance(entry, Mapping) and 'type' not in (entry.keys() - known) else ():
        if name not in known:
            close = difflib.get_close_matches(str(name), sorted(known), 1, 0.6)
            hint = f'; did you mean {close[0]!r}?' if close else ''
            yield f'{place}: expected entries that are read, of {sorted(known)}, got {name!r}{hint}'


def _misspelt(place: str, entry: object) -> Iterator[str]:
    """In a dict without a type and in those within it: names much like another one beside them."""
    if isinstance(entry, list | tuple):
        for number, part in enumerate(entry):
            yield from _misspelt(f'{place}[{number}]', part)
    elif isinstance(entry, Mapping) and 'type' not in entry:
        yield from _similar(place, entry)
        for name, part in entry.items():
            yield from _misspelt(f'{place}.{name}', part)


def _similar(place: str, entry: Mapping) -> Iterator[str]:
    names = [name for name in entry if isinstance(name, str)]  # (those of the base stand first)
    for number, name in enumerate(names):
        close = difflib.get_close_matches(name, names[:number], 1, 0.75)
        # (a name with one more word, as 'ga_assigner' beside 'assigner', is another name)
        if close and not set(close[0].split('_')) < set(name.split('_')):
            meant = f'{name!r} beside {close[0]!r}; did you mean {close[0]!r}?'
            yield f'{place}: expected entries that are read, got {meant}'
