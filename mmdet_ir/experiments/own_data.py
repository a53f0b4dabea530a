"""The cells of the paper's tables on a user's own data set and classes."""

import re
from collections.abc import Collection
from dataclasses import replace
from functools import cache
from pathlib import Path

from mmengine.config import Config

from ..apis.new_config.changes import adapt
from ..apis.new_config.facts import DataFacts, collect_facts
from .cells import SizeData

SPLITS = ('annotations/train.json', 'annotations/val.json')
_NAME = re.compile(r'[\w.-]+')


def own_data_set(template: SizeData, name: str, folder: str, taken: Collection[str]) -> SizeData:
    """A data set of the user, at the size of another one.

    Args:
        template: Of the size, whose recipe the cells keep.
        name: In tables and folders.
        folder: In the layout of this project (``tools/data/convert.py`` writes it).
        taken: Names that the size has already.

    Raises:
        FileNotFoundError: If an annotation file is missing.
        ValueError: If the name is taken, or cannot be that of a folder.
    """
    if name in taken or not _NAME.fullmatch(name):
        raise ValueError(
            f'--data: expected another name than {", ".join(taken)} of letters, digits, ".", "-" and "_", got {name!r}'
        )
    for split in SPLITS:
        if not Path(folder, split).is_file():
            raise FileNotFoundError(f'--data: {name}: annotation file not found: {Path(folder, split)}')
    return replace(template, name=name, title=name, folder=Path(folder).as_posix())


def on_own_data(cfg: Config, folder: str) -> tuple[Config, list[str]]:
    """A cell with the classes, paths, tone mapping and anchors of another data set; weights and recipe stay.

    Args:
        cfg: The cell.
        folder: Of the data set.

    Returns:
        The cell on these data, and what was measured of them, in sentences.

    Raises:
        ValueError: If the data set is unsound, or its parts have different classes.
    """
    facts = _facts(folder, SPLITS[0])
    classes = _facts(folder, SPLITS[1]).classes
    if classes != facts.classes:
        raise ValueError(f'{folder}/{SPLITS[1]}: expected the classes {facts.classes} of training, got {classes}')
    plan = adapt(cfg._cfg_dict, facts, f'{folder}/', SPLITS, 'images/')
    start = cfg.get('load_from')
    if start is not None:  # (where it is missing that is told before the first run, and not trained without)
        plan.settings.load_from = start
    return Config(plan.settings), [note for note in plan.notes if 'random weights' not in note]


@cache
def _facts(folder: str, split: str) -> DataFacts:
    return collect_facts(Path(folder, split), Path(folder, 'images'))
