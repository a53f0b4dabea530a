"""Data sets within data sets: ``ConcatDataset``, ``RepeatDataset``, ``ClassBalancedDataset`` and others.

A wrapper is known by what it holds, ``dataset`` or ``datasets``, so wrappers of other packages work likewise. Every
function takes data sets that are built as well as their configs, unless it says otherwise.
"""

from collections.abc import Mapping
from typing import Any

from mmdet.datasets import MultiImageMixDataset
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import BaseDataset


def _get(dataset: object, name: str) -> Any:
    return dataset.get(name) if isinstance(dataset, Mapping) else getattr(dataset, name, None)


def part_for_testing(cfg: Config, name: str = 'test_dataloader') -> Any:
    """A part of a config that testing needs.

    Args:
        cfg: Whole config.
        name: ``'test_dataloader'``, ``'test_evaluator'`` or ``'test_cfg'``.

    Raises:
        ValueError: If it is missing or ``None``; configs that are for training only have no test set.
    """
    part = cfg.get(name)
    if part is None:
        raise ValueError(
            f'{cfg.filename or "config"}: expected {name}, which this tool needs, got none; set test_dataloader, '
            f'test_evaluator and test_cfg, or take the config from which this one was made'
        )
    return part


def dataset_for_testing(cfg: Config) -> Mapping:
    """The config of the test set of a whole config; raises ``ValueError`` if it has none."""
    return part_for_testing(cfg)['dataset']


def require_test_set(cfg: Config) -> None:
    """Raises ``ValueError`` unless a config has all that ``tools/test.py`` needs."""
    for name in ('test_dataloader', 'test_evaluator', 'test_cfg'):
        part_for_testing(cfg, name)


def wrapped(dataset: object) -> list:
    """The data sets that a wrapper holds, in their order; none for a data set that wraps nothing."""
    inner, several = _get(dataset, 'dataset'), _get(dataset, 'datasets')
    if inner is not None:
        return [inner]
    return list(several) if isinstance(several, list | tuple) else []


def leaves(dataset: object) -> list:
    """The data sets that wrap nothing, in their order; for one that wraps nothing itself."""
    inner = wrapped(dataset)
    return [leaf for part in inner for leaf in leaves(part)] if inner else [dataset]


def pipeline_steps(dataset: Mapping) -> list[dict]:
    """What an image of a data set's config goes through: the first leaf's pipeline, then those of its wrappers."""
    inner = wrapped(dataset)
    return [*(pipeline_steps(inner[0]) if inner else ()), *(dataset.get('pipeline') or ())]


def build_leaves(dataset: Mapping, **changes: object) -> list[BaseDataset]:
    """Builds the leaves of a data set's config without their wrappers: each image once, as it is on the disk.

    Args:
        dataset: The config; it stays as it is.
        changes: Settings that replace those of each leaf.
    """
    return [DATASETS.build({**leaf, **changes}) for leaf in leaves(dataset)]


def owners(dataset: object, name: str) -> list:
    """The built data sets that an attribute of a wrapped data set belongs to.

    On each way from the outermost wrapper to a leaf it is the first that has the attribute.
    """
    if hasattr(dataset, name):
        return [dataset]
    return [owner for part in wrapped(dataset) for owner in owners(part, name)]


def every(dataset: object) -> list:
    """A data set, and all that it wraps: outer ones first."""
    return [dataset, *(inner for part in wrapped(dataset) for inner in every(part))]


def assign(dataset: object, name: str, value: object) -> None:
    """Sets an attribute of a built data set where it is read.

    That is at its :func:`owners`; a name that no data set has is set in every one, since any of them may look for it.
    """
    for owner in owners(dataset, name) or every(dataset):
        if name == 'pipeline' and isinstance(owner, MultiImageMixDataset):  # it pairs its steps with their names
            owner.pipeline = list(getattr(value, 'transforms', value))
            owner.pipeline_types = [type(step).__name__ for step in owner.pipeline]
        else:
            setattr(owner, name, value)
