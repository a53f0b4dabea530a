"""Class names, and how the targets are spread over classes and images."""

import difflib
from collections.abc import Sequence

import numpy as np

from ..problem import Problem, listed
from .structure import Sound
from .table import AnnotationTable

IMBALANCE = 20  # times as many instances of the most frequent class as of the rarest
MANY_IGNORED = 0.5  # share of annotations that are ignored regions
# What other data sets call the project's classes.
SYNONYMS = {
    'human': ('person', 'people', 'pedestrian', 'man'),
    'car': ('vehicle', 'automobile', 'auto', 'van'),
    'bicycle': ('bike', 'cycle', 'cyclist'),
    'uav': ('drone', 'quadcopter', 'quadrotor', 'multirotor'),
}


def check_classes(sound: Sound, table: AnnotationTable, classes: Sequence[str]) -> list[Problem]:
    """Category names against the classes, in the order of the labels."""
    names = [str(category['name']) for category in sound.categories]  # (others than text are told elsewhere)
    missing = [name for name in classes if name not in names]
    if missing:
        text = (
            f'categories do not match the classes: expected {list(classes)}, got {names}; missing: {missing}'
            f'{_suggest(missing, [name for name in names if name not in classes])}'
        )
        remedy = 'rename them in the file, or pass metainfo=dict(classes=(...)) to the data set'
        return [Problem('class-names', 'error', text, remedy, tuple(missing), 'category')]
    problems = []
    order = [name for name in names if name in classes]
    if order != list(classes) and len(order) == len(set(order)):
        text = f'expected "categories" in the order of the labels, {list(classes)}, got {order}'
        remedy = 'reorder the entries of "categories" (their ids may stay)'
        problems.append(Problem('class-order', 'error', text, remedy, tuple(order), 'category', True))
    counts = np.bincount(table.category[table.category >= 0], minlength=len(names)).tolist()
    left_out = {name: n for name, n in zip(names, counts, strict=True) if name not in classes and n}
    if left_out:
        text = f'instances of other classes are left out: {left_out}'
        remedy = 'nothing, if that is meant; otherwise add the classes to metainfo, or map them to one of its classes'
        problems.append(Problem('class-left-out', 'warning', text, remedy, tuple(left_out), 'category'))
    return problems


def _suggest(missing: list[str], found: list[str]) -> str:
    lower = {str(name).strip().lower(): name for name in found}
    near = []
    for name in missing:
        words = [name.lower(), *SYNONYMS.get(name, ())]
        close = [word for word in words if word in lower] or [
            match for word in words for match in difflib.get_close_matches(word, lower, 1, 0.7)
        ]
        if close:
            near.append(f'{lower[close[0]]!r} is perhaps {name!r}')
    return f' ({", ".join(near)})' if near else ''


def check_balance(sound: Sound, table: AnnotationTable, classes: Sequence[str]) -> list[Problem]:
    """Classes without instances or with few, images without targets, too many ignored regions."""
    names = [str(category['name']) for category in sound.categories]  # (others than text are told elsewhere)
    targets = (table.category >= 0) & (table.crowd != 1)
    found = np.bincount(table.category[targets], minlength=len(names)).tolist()
    ignored = np.bincount(table.category[(table.category >= 0) & (table.crowd == 1)], minlength=len(names)).tolist()
    counts = {name: n for name, n in zip(names, found, strict=True) if name in classes}
    only = [name for name, n, m in zip(names, found, ignored, strict=True) if m and not n]
    problems = listed(
        'crowd-only',
        'warning',
        'classes that have ignored regions (iscrowd 1) only, nothing to learn',
        only,
        'category',
        'set iscrowd to 0 for targets',
    )
    problems += listed(
        'class-absent',
        'warning',
        'classes without any target',
        [name for name, n in counts.items() if not n and name not in only],
        'category',
        'add recordings that show them, or take the classes out',
    )
    if len(table) and (table.crowd == 1).mean() > MANY_IGNORED:
        text = f'{(table.crowd == 1).sum()} of {len(table)} annotations are ignored regions (iscrowd 1)'
        remedy = 'set iscrowd to 0 for targets: training and evaluation leave out the others'
        problems.append(Problem('crowd-share', 'warning', text, remedy))
    present = {name: n for name, n in counts.items() if n}
    if len(present) > 1 and max(present.values()) >= IMBALANCE * min(present.values()):
        text = f'the classes are of very different frequency: {counts}'
        remedy = 'ClassBalancedDataset shows images with rare classes more often'
        problems.append(Problem('class-imbalance', 'note', text, remedy, tuple(present), 'category'))
    with_targets = set(table.image[targets].tolist())
    empty = [image['id'] for i, image in enumerate(sound.images) if i not in with_targets]
    return problems + listed(
        'image-without-targets',
        'note',
        'images without targets; image ids',
        empty,
        'image',
        'nothing, if they show none: they teach the background; filter_cfg=dict(filter_empty_gt=True) leaves them out',
    )
